from __future__ import annotations

from datetime import date, datetime  # noqa: TC003 - SQLAlchemy reads the annotations

from sqlalchemy import DateTime, ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


METADATA = Base.metadata


class Box(Base):
    __tablename__ = 'Odd "boxes" of 100%'
    label: Mapped[str] = mapped_column(primary_key=True)
    packed_at: Mapped[datetime] = mapped_column("Packed at", DateTime(timezone=True), index=True)
    state: Mapped[str] = mapped_column(default="packed")


class Thing(Base):
    __tablename__ = "attic_Things"
    number: Mapped[int] = mapped_column(primary_key=True)
    box: Mapped[str] = mapped_column(ForeignKey(Box.label), index=True)


class Part(Base):
    __tablename__ = "attic_parts"
    key: Mapped[int] = mapped_column(primary_key=True)
    thing: Mapped[int] = mapped_column(ForeignKey(Thing.number), index=True)


class Note(Base):
    """It stays without its box."""

    __tablename__ = "attic_notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    box: Mapped[str | None] = mapped_column(ForeignKey(Box.label, ondelete="set null"), index=True)


class Day(Base):
    """Its date is its key."""

    __tablename__ = "attic_days"
    day: Mapped[date] = mapped_column(primary_key=True)
