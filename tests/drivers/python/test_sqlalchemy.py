"""SQLAlchemy over psycopg and psycopg2: ORM and Core, the engine's pool, two phases, streams, reflection."""

import concurrent.futures
import datetime as dt
import enum
import os
import uuid

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import exc, orm
from sqlalchemy.dialects import postgresql as pg


def url(driver):
    return sa.URL.create(f"postgresql+{driver}", os.environ["PGUSER"], os.environ["PGPASSWORD"],
                         os.environ["PGHOST"], int(os.environ["PGPORT"]), os.environ["PGDATABASE"])


@pytest.fixture(params=["psycopg", "psycopg2"])
def engine(request):
    engine = sa.create_engine(url(request.param), pool_size=3, max_overflow=5, pool_pre_ping=True)
    yield engine
    engine.dispose()


class Mood(enum.Enum):
    sad = "sad"
    happy = "happy"


@pytest.fixture
def models(engine, name):
    """Mapped classes in a schema of the test's own."""
    schema = name

    class Base(orm.DeclarativeBase):
        metadata = sa.MetaData(schema=name)

    class Person(Base):
        __tablename__ = "person"
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
        name: orm.Mapped[str] = orm.mapped_column(unique=True)
        mood: orm.Mapped[Mood] = orm.mapped_column(sa.Enum(Mood, schema=schema), default=Mood.sad)
        key: orm.Mapped[uuid.UUID] = orm.mapped_column(default=uuid.uuid4)
        born: orm.Mapped[dt.datetime | None] = orm.mapped_column(sa.DateTime(timezone=True))
        stay: orm.Mapped[dt.timedelta | None]
        words: orm.Mapped[list | None] = orm.mapped_column(pg.ARRAY(sa.Text))
        doc: orm.Mapped[dict | None] = orm.mapped_column(pg.JSONB)
        span: orm.Mapped[pg.Range | None] = orm.mapped_column(pg.INT4RANGE)
        data: orm.Mapped[bytes | None]
        pets: orm.Mapped[list["Pet"]] = orm.relationship(back_populates="owner", order_by="Pet.name")

    class Pet(Base):
        __tablename__ = "pet"
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
        name: orm.Mapped[str]
        owner_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey(Person.id))
        owner: orm.Mapped[Person] = orm.relationship(back_populates="pets")

    with engine.begin() as conn:
        conn.execute(sa.schema.CreateSchema(name))
        Base.metadata.create_all(conn)
    yield Person, Pet
    with engine.begin() as conn:
        conn.execute(sa.schema.DropSchema(name, cascade=True))


def test_objects_go_and_come_back(engine, models):
    Person, Pet = models
    values = dict(
        name="Zoë 🐘", mood=Mood.happy, key=uuid.uuid4(), born=dt.datetime(2026, 11, 30, 12, tzinfo=dt.timezone.utc),
        stay=dt.timedelta(days=-2, seconds=5, microseconds=7), words=["a,b", 'c"d', None, ""],
        doc={"a": [1, None], "ä": "b" * 10000}, span=pg.Range(1, 5), data=bytes(range(256)),
    )
    with orm.Session(engine) as session:
        session.add(Person(**values, pets=[Pet(name="Rex"), Pet(name="Ada")]))
        session.commit()
        person = session.scalars(sa.select(Person).options(orm.selectinload(Person.pets))).one()
        assert {key: getattr(person, key) for key in values} == values
        assert [pet.name for pet in person.pets] == ["Ada", "Rex"]
        assert session.scalar(sa.select(Person.doc["a"][0].as_integer())) == 1
        assert session.scalars(sa.select(Person.id).where(Person.words.contains(["a,b"]))).all() == [person.id]
        joined = session.execute(sa.select(Person.name, Pet.name).join(Pet.owner).order_by(Pet.name)).all()
        assert joined == [("Zoë 🐘", "Ada"), ("Zoë 🐘", "Rex")]


def test_a_thousand_rows_with_their_keys(engine, models):
    Person, _ = models
    with orm.Session(engine) as session:
        people = [Person(name=f"person {n}") for n in range(1000)]
        session.add_all(people)
        session.flush()
        assert len({person.id for person in people}) == 1000
        session.commit()
        statement = pg.insert(Person).values([{"name": f"person {n}", "mood": Mood.happy} for n in range(990, 1010)])
        statement = statement.on_conflict_do_update(index_elements=[Person.name], set_={"mood": statement.excluded.mood})
        session.execute(statement)
        session.commit()
        assert session.scalar(sa.select(sa.func.count()).where(Person.mood == Mood.happy)) == 20
        session.execute(sa.update(Person), [{"id": person.id, "name": f"new {person.id}"} for person in people[:50]])
        assert session.scalar(sa.select(sa.func.count()).where(Person.name.like("new %"))) == 50
        session.rollback()
        assert session.scalar(sa.select(sa.func.count()).where(Person.name.like("new %"))) == 0


def test_a_savepoint_saves_the_transaction(engine, models):
    Person, _ = models
    with orm.Session(engine) as session, session.begin():
        session.add(Person(name="first"))
        with pytest.raises(exc.IntegrityError), session.begin_nested():
            session.add(Person(name="first"))
        with session.begin_nested():
            session.add(Person(name="second"))
    with orm.Session(engine) as session:
        assert session.scalars(sa.select(Person.name).order_by(Person.id)).all() == ["first", "second"]


def test_two_phases(engine, models):
    Person, _ = models
    with engine.connect() as conn:
        for end in ("commit", "rollback"):
            xid = f"{models[0].__table__.schema}_{end}"
            transaction = conn.begin_twophase(xid)
            conn.execute(sa.insert(Person).values(name=end))
            transaction.prepare()
            with engine.connect() as other:
                assert xid in other.recover_twophase() and other.scalar(sa.select(sa.func.count(Person.id))) == (end != "commit")
            getattr(transaction, end)()
            assert conn.scalars(sa.select(Person.name)).all() == ["commit"]
            conn.rollback()


def test_streams_go_by_cursors_on_the_server(engine):
    with engine.connect().execution_options(stream_results=True, yield_per=100) as conn:
        seen = [len(part) for part in conn.execute(sa.text("SELECT generate_series(1, 1050)")).partitions(100)]
        assert seen == [100] * 10 + [50]
        for n, (number,) in enumerate(conn.execute(sa.text("SELECT generate_series(1, 100000)"))):
            if n == 250:
                assert number == 251
                break


def test_the_schema_is_reflected(engine, models, name):
    inspector = sa.inspect(engine)
    assert sorted(inspector.get_table_names(schema=name)) == ["person", "pet"]
    columns = {column["name"]: column["type"] for column in inspector.get_columns("person", schema=name)}
    assert isinstance(columns["words"], pg.ARRAY) and isinstance(columns["doc"], pg.JSONB)
    assert isinstance(columns["span"], pg.INT4RANGE) and columns["mood"].enums == ["sad", "happy"]
    assert inspector.get_foreign_keys("pet", schema=name)[0]["referred_table"] == "person"
    assert inspector.get_unique_constraints("person", schema=name)[0]["column_names"] == ["name"]
    table = sa.Table("pet", sa.MetaData(), schema=name, autoload_with=engine)
    with engine.connect() as conn:
        assert conn.execute(sa.select(table)).all() == []


@pytest.mark.parametrize("level", ["SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED", "READ UNCOMMITTED"])
def test_isolation_levels(engine, level):
    with engine.connect().execution_options(isolation_level=level, postgresql_readonly=True) as conn:
        assert conn.get_isolation_level() == level
        assert conn.scalar(sa.text("SHOW transaction_isolation")).upper() == level
        assert conn.scalar(sa.text("SHOW transaction_read_only")) == "on"
    with engine.connect() as conn:
        assert conn.scalar(sa.text("SHOW transaction_read_only")) == "off"
        assert conn.get_isolation_level() == "READ COMMITTED"


def test_autocommit(engine, models):
    Person, _ = models
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(sa.insert(Person).values(name="at once"))
        with engine.connect() as other:
            assert other.scalar(sa.select(sa.func.count(Person.id))) == 1
        conn.execute(sa.text(f"VACUUM {Person.__table__}"))


def test_statements_of_the_cache_after_ddl(engine, name):
    def read():
        with engine.connect() as conn:
            return [tuple(row) for row in conn.execute(sa.text(f"SELECT * FROM {name}"))]

    with engine.begin() as conn:
        conn.execute(sa.text(f"CREATE TABLE {name} AS SELECT 1 AS n"))
    assert [read() for _ in range(8)] == [[(1,)]] * 8
    with engine.begin() as conn:
        conn.execute(sa.text(f"DROP TABLE {name}"))
        conn.execute(sa.text(f"CREATE TABLE {name} AS SELECT 'x' AS word, 2 AS n"))
    assert [read() for _ in range(8)] == [[("x", 2)]] * 8


def test_pre_ping_replaces_a_connection_that_died(engine):
    with engine.connect() as conn:
        pid = conn.scalar(sa.text("SELECT pg_backend_pid()"))
        with psycopg.connect(autocommit=True) as other:
            assert other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,)).fetchone() == (True,)
        with pytest.raises(exc.DBAPIError) as caught:
            conn.execute(sa.text("SELECT 1"))
        assert caught.value.connection_invalidated
    for _ in range(5):
        with engine.connect() as conn:
            assert conn.scalar(sa.text("SELECT 1")) == 1


def test_more_threads_than_connections(engine, models):
    Person, _ = models

    def work(n):
        with orm.Session(engine) as session:
            session.add(Person(name=f"thread {n}"))
            session.flush()
            mine = session.scalars(sa.select(Person.name).where(Person.name == f"thread {n}")).one()
            session.rollback() if n % 5 == 0 else session.commit()
            return mine

    with concurrent.futures.ThreadPoolExecutor(12) as threads:
        assert list(threads.map(work, range(100))) == [f"thread {n}" for n in range(100)]
    with orm.Session(engine) as session:
        assert session.scalar(sa.select(sa.func.count(Person.id))) == 80
