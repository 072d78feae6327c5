"""Tables that no prune takes."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - SQLAlchemy reads the annotations

from sqlalchemy import ForeignKey, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.dialects.postgresql import DATERANGE
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


METADATA = Base.metadata


class Visit(Base):
    """Two columns are its key."""

    __tablename__ = "attic_visits"
    at: Mapped[datetime] = mapped_column(primary_key=True)
    guest: Mapped[str] = mapped_column(primary_key=True)


class Shelf(Base):
    __tablename__ = "attic_shelves"
    id: Mapped[int] = mapped_column(primary_key=True)
    made_at: Mapped[datetime]
    colour: Mapped[str]
    lent: Mapped[object | None] = mapped_column(DATERANGE)


class Mark(Base):
    """It goes with its shelf, and two columns are its key."""

    __tablename__ = "attic_marks"
    shelf: Mapped[int] = mapped_column(ForeignKey(Shelf.id), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)


class Node(Base):
    __tablename__ = "attic_nodes"
    id: Mapped[int] = mapped_column(primary_key=True)
    made_at: Mapped[datetime]
    above: Mapped[int | None] = mapped_column(ForeignKey("attic_nodes.id"))


class Hen(Base):
    __tablename__ = "attic_hens"
    id: Mapped[int] = mapped_column(primary_key=True)
    hatched_at: Mapped[datetime]
    egg: Mapped[int | None] = mapped_column(ForeignKey("attic_eggs.id", use_alter=True))


class Egg(Base):
    __tablename__ = "attic_eggs"
    id: Mapped[int] = mapped_column(primary_key=True)
    hen: Mapped[int] = mapped_column(ForeignKey(Hen.id))


class Room(Base):
    __tablename__ = "attic_rooms"
    __table_args__ = (UniqueConstraint("id", "floor"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    floor: Mapped[int]
    code: Mapped[str] = mapped_column(unique=True)
    built_at: Mapped[datetime]


class Door(Base):
    """It refers to a room by more than the room's key."""

    __tablename__ = "attic_doors"
    __table_args__ = (ForeignKeyConstraint(["room", "floor"], ["attic_rooms.id", "attic_rooms.floor"]),)
    id: Mapped[int] = mapped_column(primary_key=True)
    room: Mapped[int]
    floor: Mapped[int]


class Ladder(Base):
    __tablename__ = "ladders"
    __table_args__ = {"schema": "attic"}  # noqa: RUF012 - SQLAlchemy's
    id: Mapped[int] = mapped_column(primary_key=True)
    made_at: Mapped[datetime]


class Log(Base):
    __tablename__ = "attic_logs"
    id: Mapped[int] = mapped_column(primary_key=True)
    made_at: Mapped[datetime]
