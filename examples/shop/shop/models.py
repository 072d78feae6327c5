"""The shop's tables. Times are naive UTC, money is exact decimals."""

from __future__ import annotations

from datetime import date, datetime  # noqa: TC003 - SQLAlchemy reads the annotations
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Index, Numeric, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from ibutsu_tasks.clock import utc_now

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table


class Base(DeclarativeBase):
    """What all tables have in common."""

    type_annotation_map = {Decimal: Numeric(14, 2), dict[str, Any]: JSONB}  # noqa: RUF012 - SQLAlchemy's


METADATA = Base.metadata


class Tenant(Base):
    """A customer of the platform, who has a shop."""

    __tablename__ = "shop_tenants"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]


class Product(Base):
    """A thing of gold; its price follows the rate."""

    __tablename__ = "shop_products"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey(Tenant.id), index=True)
    name: Mapped[str]
    grams: Mapped[Decimal] = mapped_column(Numeric(12, 3))
    margin: Mapped[Decimal] = mapped_column(Numeric(6, 4))
    """Added to the price of the gold: 0.25 is a quarter of it."""
    price: Mapped[Decimal | None]


class Order(Base):
    """What was sold."""

    __tablename__ = "shop_orders"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey(Tenant.id), index=True)
    product_id: Mapped[UUID] = mapped_column(ForeignKey(Product.id))
    quantity: Mapped[int]
    amount: Mapped[Decimal]
    placed_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)


class GoldRate(Base):
    """A price of gold; the newest is the one in use."""

    __tablename__ = "shop_gold_rates"
    fetched_at: Mapped[datetime] = mapped_column(primary_key=True, default=utc_now)
    per_gram: Mapped[Decimal] = mapped_column(Numeric(12, 4))


class Backup(Base):
    """A file of the manifest."""

    __tablename__ = "shop_backups"
    file: Mapped[str] = mapped_column(primary_key=True)
    """Its path within SHOP_BACKUP_DIR."""
    kind: Mapped[str]
    """`database`, `tenant`, `wal` or `configuration`."""
    sha256: Mapped[str]
    bytes: Mapped[int]
    made_at: Mapped[datetime] = mapped_column(default=utc_now)
    fault: Mapped[str | None]
    """What was wrong when it was last checked."""


class Report(Base):
    """A report of a tenant's orders, made again and again."""

    __tablename__ = "shop_reports"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey(Tenant.id), index=True)
    every_hours: Mapped[int]
    next_run_at: Mapped[datetime | None]
    """Unset until it is first planned."""


class Execution(Base):
    """One run of a report, over the orders from `since` to `until`."""

    __tablename__ = "shop_report_executions"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    report_id: Mapped[UUID] = mapped_column(ForeignKey(Report.id), index=True)
    since: Mapped[datetime]
    until: Mapped[datetime] = mapped_column(index=True)
    rows: Mapped[int | None]
    """Unset until it is done."""
    file: Mapped[str | None]


class Asset(Base):
    """What the accounts write off in equal parts, month by month."""

    __tablename__ = "shop_assets"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    cost: Mapped[Decimal]
    residual: Mapped[Decimal]
    """What it is worth at the end."""
    months: Mapped[int]
    bought_on: Mapped[date]


class Depreciation(Base):
    """What was written off in one month; the key allows one row for each."""

    __tablename__ = "shop_depreciations"
    asset_id: Mapped[UUID] = mapped_column(ForeignKey(Asset.id), primary_key=True)
    month: Mapped[date] = mapped_column(primary_key=True)
    """Its first day."""
    amount: Mapped[Decimal]


class Sample(Base):
    """A number that was measured."""

    __tablename__ = "shop_samples"
    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True, default=utc_now)
    value: Mapped[float]


class Alert(Base):
    """A rule that is broken, or was."""

    __tablename__ = "shop_alerts"
    __table_args__ = (
        # However many tasks measure at once, a rule has one open alert.
        Index("shop_open_alerts", "rule", unique=True, postgresql_where=text("resolved_at is null")),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    rule: Mapped[str]
    value: Mapped[float]
    level: Mapped[int] = mapped_column(default=0)
    """How often it was escalated."""
    opened_at: Mapped[datetime] = mapped_column(default=utc_now)
    resolved_at: Mapped[datetime | None]


class Endpoint(Base):
    """Where a tenant wants to be told of events."""

    __tablename__ = "shop_endpoints"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey(Tenant.id), index=True)
    url: Mapped[str]
    secret: Mapped[str]
    """Signs what is sent there."""


class Delivery(Base):
    """An event on its way to an endpoint: `pending`, `delivered` or `given up`."""

    __tablename__ = "shop_deliveries"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey(Endpoint.id), index=True)
    event: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(default="pending", index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
    next_attempt_at: Mapped[datetime]
    error: Mapped[str | None]


def is_not_in_use(rates: Table) -> ColumnElement[bool]:
    """Spare the newest of the gold rates."""
    return rates.c.fetched_at != select(func.max(rates.c.fetched_at)).scalar_subquery()


def is_over(deliveries: Table) -> ColumnElement[bool]:
    """Spare the deliveries that are still on their way."""
    return deliveries.c.state != "pending"
