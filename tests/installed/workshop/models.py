from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Piece(Base):
    __tablename__ = "workshop_pieces"

    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]


METADATA = Base.metadata
