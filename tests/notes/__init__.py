"""A small Flask application with Flask-SQLAlchemy, its tasks and the package that declares them."""
