"""Django's storage on a bucket, as sync code uses it: files, names, a FileField, collectstatic."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import threading
import warnings
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from django.core.checks import run_checks
from django.core.exceptions import SuspiciousFileOperation
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import InvalidStorageError, storages
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.core.management import call_command
from django.db import connection
from django.db.migrations.writer import MigrationWriter
from django.test import override_settings

from poolapp import BackendUnavailable, PoolError, pools
from poolapp.devservices.ports import free_port
from poolapp.storage import S3ManifestStaticStorage, S3Storage, check_storages
from tests.buckets import S3, new_bucket
from tests.real import config_of, postgres_config
from tests.stores.models_s3 import Upload

MIB = 1024 * 1024

_number = iter(range(10**6))


@pytest.fixture(scope="module")
def alias(s3_url: str) -> Iterator[str]:
    config = config_of(S3, asyncio.run(new_bucket(s3_url)), max_size=4)
    pools.register(config.alias, config)
    yield config.alias
    asyncio.run(pools.remove(config.alias))


def storage_on(alias: str, **settings: Any) -> S3Storage:
    """Below a prefix of the test's own."""
    settings.setdefault("prefix", f"sync{next(_number)}")
    return S3Storage(pool=alias, **settings)


@pytest.fixture
def storage(alias: str) -> S3Storage:
    return storage_on(alias)


def head_of(storage: S3Storage, name: str) -> dict[str, Any]:
    return pools.run(storage._head, name)


def content_of(storage: S3Storage, name: str) -> bytes:
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


class TestFiles:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (ContentFile(b"bytes"), b"bytes"),
            (ContentFile("täxt"), "täxt".encode()),
            (ContentFile(b""), b""),
            (io.BytesIO(b"plain file"), b"plain file"),
            (SimpleUploadedFile("x", b"upload"), b"upload"),
        ],
    )
    def test_what_is_saved_is_read(self, storage: Any, content: Any, expected: bytes) -> None:
        content.read(1)  # it is saved from its start all the same
        name = storage.save("folder/name.txt", content)
        assert name == "folder/name.txt"
        assert storage.exists(name)
        assert storage.size(name) == len(expected)
        assert content_of(storage, name) == expected

    def test_a_file_on_disk_and_an_upload_on_disk(self, storage: Any, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(bytes(9 * MIB))
        with path.open("rb") as file:
            assert storage.size(storage.save("large", File(file))) == 9 * MIB
        with TemporaryUploadedFile("u", "image/png", 3, None) as upload:
            upload.write(b"abc")
            assert content_of(storage, storage.save("upload", upload)) == b"abc"

    def test_what_has_no_bytes_is_refused(self, storage: Any) -> None:
        with pytest.raises(TypeError, match="ContentFile"):
            storage._save("x", b"bytes")

    def test_a_file_is_sought_and_read_by_ranges(self, storage: Any) -> None:
        body = bytes(range(256)) * 4 * 4096 + b"the end"
        name = storage.save("large.bin", ContentFile(body))
        with storage.open(name) as file:
            assert file.size == len(file) == len(body)
            assert file.read(10) == body[:10]
            file.seek(-7, io.SEEK_END)
            assert file.read() == b"the end"
            file.seek(3 * MIB)
            assert file.read(2 * MIB) == body[3 * MIB :]
            assert b"".join(file.chunks()) == body
            assert file.open().read(2) == body[:2]
        assert file.closed
        with file.open() as again:
            assert again.read(3) == body[:3]

    def test_a_library_that_jumps_about_reads_it(self, storage: Any) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("a.txt", "x" * 10_000)
            archive.writestr("b.txt", "content")
        name = storage.save("a.zip", ContentFile(packed.getvalue()))
        with storage.open(name) as file, zipfile.ZipFile(file) as archive:
            assert archive.read("b.txt") == b"content"

    def test_lines_and_text(self, storage: Any) -> None:
        name = storage.save("lines", ContentFile("eins\nzwö\n"))
        with storage.open(name, "r") as file:
            assert file.read() == "eins\nzwö\n"
        with storage.open(name) as file:
            assert list(file) == [b"eins\n", "zwö\n".encode()]

    def test_a_file_is_written_when_it_is_closed(self, storage: Any) -> None:
        with storage.open("new.txt", "w") as file:
            file.write("täxt")
            assert not storage.exists("new.txt")
        assert content_of(storage, "new.txt") == "täxt".encode()
        with storage.open("new.txt", "wb") as file:
            file.write(bytes(9 * MIB))
            file.write(b"end")
        assert storage.size("new.txt") == 9 * MIB + 3
        file.close()

    def test_a_block_that_raises_writes_nothing(self, storage: Any) -> None:
        storage.save("x", ContentFile(b"old"))
        with pytest.raises(ZeroDivisionError), storage.open("x", "wb") as file:
            file.write(b"half")
            raise ZeroDivisionError
        assert content_of(storage, "x") == b"old"

    def test_a_file_that_nobody_closed_is_told(self, storage: Any) -> None:
        file = storage.open("x", "wb")
        file.write(b"lost")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del file
            gc.collect()
        assert any("'x' was not closed" in str(each.message) for each in caught)
        assert not storage.exists("x")

    def test_a_file_that_changes_while_it_is_read_is_an_error(self, alias: str) -> None:
        storage = storage_on(alias, overwrite=True)
        storage.save("x", ContentFile(bytes(3 * MIB)))
        with storage.open("x") as file:
            file.read(10)
            storage.save("x", ContentFile(b"new" * MIB))
            with pytest.raises(OSError, match="changed or deleted"):
                file.read()

    @pytest.mark.parametrize("mode", ["a", "r+b", "x", "rw", ""])
    def test_what_an_object_can_not_do(self, storage: Any, mode: str) -> None:
        with pytest.raises(ValueError, match="'rb', 'r', 'wb' or 'w'"):
            storage.open("x", mode)

    def test_what_is_missing(self, storage: Any) -> None:
        for ask in (storage.open, storage.size, storage.get_modified_time):
            with pytest.raises(FileNotFoundError, match="'none'"):
                ask("none")
        assert storage.exists("none") is False
        storage.delete("none")
        with pytest.raises(NotImplementedError):
            storage.path("none")

    def test_content_types_are_told_by_the_name(self, storage: Any) -> None:
        typed = SimpleUploadedFile("x", b"", content_type="application/x-own")
        for name, content, expected in (
            ("a.png", typed, "image/png"),
            ("a.tar.gz", typed, "application/gzip"),
            ("a", typed, "application/x-own"),
            ("b", ContentFile(b""), "application/octet-stream"),
        ):
            head = head_of(storage, storage.save(name, content))
            assert head["ContentType"] == expected
            assert "ContentEncoding" not in head

    def test_parameters_go_with_every_write(self, alias: str) -> None:
        parameters = {"CacheControl": "max-age=60", "ContentType": "text/x-own"}
        storage = storage_on(alias, parameters=parameters)
        head = head_of(storage, storage.save("a.png", ContentFile(b"")))
        assert (head["CacheControl"], head["ContentType"]) == ("max-age=60", "text/x-own")

    def test_when_it_was_written(self, storage: Any) -> None:
        name = storage.save("x", ContentFile(b""))
        moment = storage.get_modified_time(name)
        assert abs(moment - datetime.now(UTC)) < timedelta(minutes=5)
        with override_settings(USE_TZ=False):
            assert storage.get_modified_time(name).tzinfo is None


class TestNames:
    def test_a_name_that_is_taken_is_left_alone(self, storage: Any) -> None:
        first = storage.save("a.tar.gz", ContentFile(b"1"))
        second = storage.save("a.tar.gz", ContentFile(b"2"))
        assert second != first
        assert second.startswith("a_")
        assert second.endswith(".tar.gz")
        assert (content_of(storage, first), content_of(storage, second)) == (b"1", b"2")

    def test_files_saved_at_once_under_one_name_are_all_there(self, storage: Any) -> None:
        names: list[str] = []

        def save(number: int) -> None:
            names.append(storage.save("race.txt", ContentFile(b"%d" % number)))

        threads = [threading.Thread(target=save, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(names)) == 6
        assert {content_of(storage, name) for name in names} == {b"%d" % n for n in range(6)}

    def test_or_overwritten_where_that_was_asked_for(self, alias: str) -> None:
        storage = storage_on(alias, overwrite=True)
        for content in (b"1", b"2"):
            assert storage.save("x", ContentFile(content)) == "x"
        assert content_of(storage, "x") == b"2"
        assert len(storage.save("y" * 30 + ".txt", ContentFile(b""), max_length=100)) == 34

    def test_a_name_is_cut_to_the_length_there_is(self, storage: Any) -> None:
        long = "x" * 50 + ".txt"
        for _ in range(2):
            name = storage.save(long, ContentFile(b""), max_length=30)
            assert len(name) <= 30
            assert name.endswith(".txt")
        with pytest.raises(SuspiciousFileOperation):
            storage.save(long, ContentFile(b""), max_length=5)

    @pytest.mark.parametrize(
        "name",
        ["../x", "a/../../x", "/etc/passwd", "..", "..\\..\\x", "\\x", "a/b\x00c", "a\n", "\ud800"],
    )
    def test_a_name_that_leads_out_is_suspicious(self, storage: Any, name: str) -> None:
        for ask in (
            lambda: storage.save(name, ContentFile(b"")),
            lambda: storage.open(name),
            lambda: storage.open(name, "wb"),
            lambda: storage.delete(name),
            lambda: storage.exists(name),
            lambda: storage.size(name),
            lambda: storage.url(name),
            lambda: storage.listdir(name),
            lambda: storage.get_modified_time(name),
        ):
            with pytest.raises((SuspiciousFileOperation, UnicodeEncodeError)):
                ask()

    def test_names_mean_the_same_in_every_spelling(self, storage: Any) -> None:
        assert storage.save("a\\b.txt", ContentFile(b"x")) == "a/b.txt"
        for name in ("a/b.txt", "a\\b.txt", "./a//b.txt", "a/c/../b.txt"):
            assert storage.exists(name)
        with pytest.raises(SuspiciousFileOperation, match="names no file"):
            storage.size("")
        with pytest.raises(ValueError, match="needs a name"):
            storage.delete("")
        with pytest.raises(SuspiciousFileOperation, match="1024"):
            storage.exists("ä" * 600)

    def test_nothing_outside_the_prefix_is_seen_or_deleted(self, alias: str) -> None:
        """Scenario 45."""
        data, data2 = storage_on(alias, prefix="data"), storage_on(alias, prefix="data2")
        data2.save("x", ContentFile(b"theirs"))
        assert data.exists("x") is False
        assert data.listdir("") == ([], [])
        data.delete("x")
        assert data2.exists("x")

    def test_hostile_names_are_names(self, storage: Any) -> None:
        for name in ("a b?c#d&e=%2F.txt", "ü😀.txt", "<Key>&amp;.txt", "'\";--", "%2e%2e"):
            assert storage.save(name, ContentFile(name)) == name
            assert content_of(storage, name).decode() == name
            with urlopen(storage.url(name)) as answer:
                assert answer.read().decode() == name
        assert sorted(storage.listdir("")[1]) == sorted(
            ("a b?c#d&e=%2F.txt", "ü😀.txt", "<Key>&amp;.txt", "'\";--", "%2e%2e")
        )

    def test_folders_and_files(self, storage: Any) -> None:
        for name in ("a/1", "a/b/2", "a/b/c/3", "4"):
            storage.save(name, ContentFile(b""))
        assert storage.listdir("") == (["a"], ["4"])
        assert storage.listdir("a") == storage.listdir("a/") == (["b"], ["1"])
        assert storage.listdir("none") == ([], [])
        assert storage.exists("")
        assert storage.exists("a")
        assert storage.exists("a/b/")
        assert not storage.exists("a/b/c/d")
        # Not every server has room for a file beside a folder of its name.
        assert content_of(storage, storage.save("a/b", ContentFile(b"file"))) == b"file"
        assert storage.listdir("a/b") == (["c"], ["2"])


class TestUrls:
    def test_signed_unless_there_is_a_base(self, alias: str) -> None:
        signed, public = storage_on(alias, expires=60), storage_on(alias, base_url="/media")
        name = signed.save("a b.txt", ContentFile(b"content"))
        with urlopen(signed.url(name)) as answer:
            assert answer.read() == b"content"
        assert "X-Amz-Expires=60&" in signed.url(name)
        attached = signed.url(name, expires=5, ResponseContentDisposition="attachment")
        with urlopen(attached) as answer:
            assert answer.headers["Content-Disposition"] == "attachment"
        assert public.url("a b/ü.txt") == "/media/a%20b/%C3%BC.txt"
        assert public.url("") == "/media/"
        assert "X-Amz-Expires=5&" in public.url("x", expires=5)


class TestInDjango:
    @pytest.fixture
    def configured(self, alias: str) -> Iterator[dict[str, Any]]:
        def of(**options: Any) -> dict[str, Any]:
            options = {"pool": alias, "prefix": f"django{next(_number)}", **options}
            return {"BACKEND": "poolapp.storage.S3Storage", "OPTIONS": options}

        static = of(base_url="https://cdn.example.com/", overwrite=True)
        static["BACKEND"] = "poolapp.storage.S3ManifestStaticStorage"
        with override_settings(
            STORAGES={"default": of(), "uploads": of(), "staticfiles": static}
        ) as settings:
            yield settings or {}

    @pytest.mark.django_db
    def test_a_model_with_a_file(self, configured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Upload._meta.get_field("file"), "storage", storages["uploads"])
        with connection.schema_editor() as editor:
            editor.create_model(Upload)
        first = Upload.objects.create(file=SimpleUploadedFile("a b.txt", b"first"))
        second = Upload.objects.create(file=ContentFile(b"second", name="a b.txt"))
        assert first.file.name == "docs/a_b.txt"
        assert second.file.name != first.file.name
        found = Upload.objects.get(pk=first.pk)
        assert found.file.size == 5
        with found.file.open() as file:
            assert file.read() == b"first"
        with found.file.open("rb") as file:
            assert list(file.chunks()) == [b"first"]
        with urlopen(found.file.url) as answer:
            assert answer.read() == b"first"
        found.file.delete(save=False)
        assert not storages["uploads"].exists("docs/a_b.txt")
        long = Upload.objects.create(file=ContentFile(b"", name="x" * 80 + ".txt"))
        assert len(long.file.name) <= 60

    def test_collectstatic_with_a_manifest(self, configured: Any, tmp_path: Path) -> None:
        (tmp_path / "site.css").write_text("body { background: url('img/logo.png') }")
        (tmp_path / "img").mkdir()
        (tmp_path / "img" / "logo.png").write_bytes(b"\x89PNG")
        finders = ["django.contrib.staticfiles.finders.FileSystemFinder"]
        with override_settings(
            STATICFILES_DIRS=[tmp_path], STATICFILES_FINDERS=finders, DEBUG=False
        ):
            out = io.StringIO()
            call_command("collectstatic", interactive=False, stdout=out)
            assert "2 static files copied" in out.getvalue()
            static = storages["staticfiles"]
            hashed = static.stored_name("site.css")
            assert static.url("site.css") == f"https://cdn.example.com/{hashed}"
            assert static.stored_name("img/logo.png").encode() in content_of(static, hashed)
            assert head_of(static, hashed)["ContentType"] == "text/css"
            out = io.StringIO()
            call_command("collectstatic", interactive=False, stdout=out)
            assert "0 static files copied, 2 unmodified" in out.getvalue()
            call_command("collectstatic", interactive=False, clear=True, stdout=io.StringIO())
            assert static.exists("img/logo.png")
            pretended = {"clear": True, "dry_run": True, "verbosity": 2}
            call_command("collectstatic", interactive=False, stdout=out, **pretended)
            assert "Pretending to delete 'img/logo.png'" in out.getvalue()

    async def test_a_template_on_a_loop_gets_its_static_urls(self, alias: str) -> None:
        """Though the manifest has to be read for that."""
        storage = storage_on(alias)
        manifest = {"version": "1.1", "paths": {"a.css": "a.123.css"}, "hash": ""}
        content = ContentFile(json.dumps(manifest))
        await asyncio.to_thread(storage.save, "staticfiles.json", content)
        static = S3ManifestStaticStorage(
            pool=alias, prefix=storage.prefix, base_url="https://cdn.example.com/"
        )
        with override_settings(DEBUG=False):
            assert static.url("a.css") == "https://cdn.example.com/a.123.css"
        empty = S3ManifestStaticStorage(pool=alias, prefix="nothing-there")
        assert empty.read_manifest() is None

    @pytest.mark.parametrize(
        ("backend", "options"),
        [
            ("S3Storage", {}),
            ("S3Storage", {"pool": "media", "bucket_name": "x"}),
            ("S3ManifestStaticStorage", {}),
        ],
    )
    def test_options_it_does_not_take_are_a_system_check(
        self, backend: str, options: dict[str, str]
    ) -> None:
        static = {"BACKEND": f"poolapp.storage.{backend}", "OPTIONS": options}
        with override_settings(STORAGES={"staticfiles": static}):
            (message,) = check_storages()
        assert "STORAGES['staticfiles'] has other OPTIONS" in message.msg

    def test_migrations_write_it(self, alias: str) -> None:
        text, imports = MigrationWriter.serialize(S3Storage(pool=alias, prefix="x"))
        assert text == f"poolapp.storage.S3Storage(pool={alias!r}, prefix='x')"
        assert imports == {"import poolapp.storage"}

    @pytest.mark.parametrize("wrong", ["none", "postgres"])
    def test_a_wrong_pool_is_a_system_check_and_a_clear_error(self, wrong: str) -> None:
        config = postgres_config("postgresql://localhost/x", alias="storage-postgres")
        pools.register(config.alias, config)
        pool = config.alias if wrong == "postgres" else "storage-none"
        options = {"pool": pool}
        setting = {"x": {"BACKEND": "poolapp.storage.S3Storage", "OPTIONS": options}}
        try:
            with override_settings(STORAGES=setting):
                (message,) = [each for each in run_checks() if each.id == "poolapp.E021"]
                assert "STORAGES['x']" in message.msg
                assert pool in message.msg
                assert check_storages() == [message]
                with pytest.raises(InvalidStorageError, match=pool):
                    storages["x"].exists("a")
        finally:
            asyncio.run(pools.remove(config.alias))

    def test_an_outage_is_never_not_found(self) -> None:
        """Scenario 41."""
        url = f"http://key:secret@127.0.0.1:{free_port()}/bucket?region=us-east-1"
        config = config_of(S3, url, acquire_timeout=0.3)
        pools.register(config.alias, config)
        storage = S3Storage(pool=config.alias)
        try:
            for ask in (storage.exists, storage.open, storage.size, storage.delete):
                with pytest.raises(PoolError) as info:
                    ask("x")
                assert isinstance(info.value, BackendUnavailable | TimeoutError)
            with pytest.raises(PoolError):
                storage.save("x", ContentFile(b""))
        finally:
            asyncio.run(pools.remove(config.alias))
