"""What is stored is what was read, and opening it proves it again, file by file."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import pytest

from openautoglm.errors import ContentStoreError
from openautoglm.plugins.inventory.store import SIGNATURE, ContentStore
from openautoglm.plugins.signing import Keyring, SigningKey, judge, sign, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from openautoglm.plugins.inventory.store import StoredContent
    from openautoglm.plugins.signing import Package, Verdict


class WheelMaker(Protocol):
    """What the fixture `wheel` is."""

    def __call__(
        self, *, version: str = "1.0", files: Mapping[str, bytes] | None = None
    ) -> Path: ...


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "store")


@pytest.fixture
def verdict(wheel: WheelMaker, key: SigningKey, keyring: Keyring) -> Verdict:
    path = wheel(files={"acme_upper/data/table.bin": bytes(range(256)) * 9000})
    sign(path, key)
    return verify(path, keyring)


def bring(folder: Path) -> dict[str, str]:
    """Put a dependency there, as pip does."""
    (folder / "base").mkdir(parents=True)
    (folder / "base/__init__.py").write_text("VALUE = 1\n")
    return {"base": "1.0"}


def package_of(verdict: Verdict) -> Package:
    assert verdict.package is not None
    return verdict.package


def put(store: ContentStore, verdict: Verdict) -> StoredContent:
    """Store what was judged, with its signature and a dependency, and open it."""
    beside = {SIGNATURE: verdict.signature} if verdict.signature is not None else {}
    package = package_of(verdict)
    with store.staged(package, beside=beside, bring=bring) as staged:
        staged.commit()
    return store.open(package.sha256, contents=staged.contents)


def contents_of(stored: StoredContent) -> str:
    return hashlib.sha256((stored.folder / "contents.json").read_bytes()).hexdigest()


def test_content_is_stored_read_only_and_read_back(store: ContentStore, verdict: Verdict) -> None:
    stored = put(store, verdict)
    assert [path.name for path in store.root.iterdir()] == [stored.sha256]
    assert stored.sha256 == package_of(verdict).sha256
    assert stored.files == package_of(verdict).files
    assert stored.manifest == package_of(verdict).manifest
    assert stored.signature == verdict.signature
    assert (stored.root / "acme_upper/data/table.bin").read_bytes() == bytes(range(256)) * 9000
    assert stored.wheel.read_bytes() == package_of(verdict).data
    for path in (stored.folder, *stored.folder.rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o222
    inside = {str(p.relative_to(stored.root)) for p in stored.root.rglob("*") if p.is_file()}
    assert inside == set(stored.files)


def test_what_was_opened_is_judged_without_reading_the_wheel_again(
    store: ContentStore, verdict: Verdict, keyring: Keyring
) -> None:
    stored = put(store, verdict)
    assert judge(stored, stored.signature, keyring).trusted
    revoked = keyring.revoking("mine", at=datetime.now(UTC))
    assert judge(stored, stored.signature, revoked).state == "refused"
    assert judge(stored, None, keyring).state == "unsigned"
    other = (verdict.signature or b"").replace(b"sig", b"gis")
    assert judge(stored, other, keyring).state == "refused"


def test_putting_it_twice_is_putting_it_once(store: ContentStore, verdict: Verdict) -> None:
    first = put(store, verdict).folder.stat().st_ino
    assert put(store, verdict).folder.stat().st_ino == first
    assert len(list(store.root.iterdir())) == 1


def test_what_is_not_committed_is_gone(store: ContentStore, verdict: Verdict) -> None:
    with store.staged(package_of(verdict)) as staged:
        assert len(list(store.root.iterdir())) == 1
    assert list(store.root.iterdir()) == []
    with pytest.raises(ContentStoreError, match="not there"):
        store.open(package_of(verdict).sha256, contents=staged.contents)


def test_content_that_is_not_whole_is_replaced(store: ContentStore, verdict: Verdict) -> None:
    stored = put(store, verdict)
    _changed(_unlocked(stored.folder) / "plugin")
    assert put(store, verdict).files == stored.files


def test_several_who_store_the_same_all_have_it(store: ContentStore, verdict: Verdict) -> None:
    done: list[str] = []
    lock = threading.Lock()

    def stage() -> None:
        with store.staged(package_of(verdict)) as staged:
            with lock:  # as the inventory's own
                staged.commit()
            done.append(store.open(package_of(verdict).sha256, contents=staged.contents).sha256)

    threads = [threading.Thread(target=stage) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4
    assert len(set(done)) == 1


def _unlocked(folder: Path) -> Path:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    return folder


def _changed(folder: Path) -> None:
    with (folder / "acme_upper/step.py").open("ab") as file:
        file.write(b"#")


def _added(folder: Path) -> None:
    (folder / "acme_upper/evil.py").write_bytes(b"")


def _cached(folder: Path) -> None:
    (folder / "acme_upper/__pycache__").mkdir()
    (folder / "acme_upper/__pycache__/step.cpython-311.pyc").write_bytes(b"")


def _removed(folder: Path) -> None:
    (folder / "acme_upper/step.py").unlink()


def _linked(folder: Path) -> None:
    step = folder / "acme_upper/step.py"
    copy = folder.parent / "copy.py"
    step.rename(copy)
    step.symlink_to(copy)


def _hard_linked(folder: Path) -> None:
    os.link(folder / "acme_upper/step.py", folder.parents[1] / "other.py")


def _folder_linked(folder: Path) -> None:
    inside = folder / "acme_upper/data"
    moved = folder.parent / "moved"
    inside.rename(moved)
    inside.symlink_to(moved)


def _replaced_by_link(folder: Path) -> None:
    moved = folder.parent / "moved"
    folder.rename(moved)
    folder.symlink_to(moved)


def _pipe(folder: Path) -> None:
    (folder / "acme_upper/step.py").unlink()
    os.mkfifo(folder / "acme_upper/step.py")


def _other_wheel(folder: Path) -> None:
    wheel = folder.with_name("package.whl")
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"x")


def _no_wheel(folder: Path) -> None:
    folder.with_name("package.whl").unlink()


def _other_signature(folder: Path) -> None:
    folder.with_name(SIGNATURE).write_bytes(b"{}")


def _no_signature(folder: Path) -> None:
    folder.with_name(SIGNATURE).unlink()


def _other_dependency(folder: Path) -> None:
    (folder.with_name("dependencies") / "base/__init__.py").write_text("VALUE = 2\n")


def _added_dependency(folder: Path) -> None:
    (folder.with_name("dependencies") / "base/evil.py").write_text("")


def _empty_folder(folder: Path) -> None:
    (folder / "numpy").mkdir()


def _writable_by_others(folder: Path) -> None:
    (folder / "acme_upper/step.py").chmod(0o666)


def _folder_writable_by_others(folder: Path) -> None:
    (folder / "acme_upper").chmod(0o777)


def _other_listing(folder: Path) -> None:
    (folder / "acme_upper/evil.py").write_bytes(b"")
    folder.with_name("contents.json").write_text("{}")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_changed, "plugin/acme_upper/step.py was changed"),
        (_added, "plugin/acme_upper/evil.py was added"),
        (_cached, "plugin/acme_upper/__pycache__/ was added"),
        (_removed, "plugin/acme_upper/step.py is missing"),
        (_linked, "plugin/acme_upper/step.py is a link or a device"),
        (_hard_linked, "plugin/acme_upper/step.py has a second name"),
        (_folder_linked, "plugin/acme_upper/data is a link"),
        (_replaced_by_link, "plugin is a link"),
        (_pipe, "plugin/acme_upper/step.py is a link or a device"),
        (_other_wheel, "package.whl was changed"),
        (_no_wheel, "package.whl is missing"),
        (_other_signature, "package.whl.dsse.json was changed"),
        (_no_signature, "package.whl.dsse.json is missing"),
        (_other_dependency, "dependencies/base/__init__.py was changed"),
        (_added_dependency, "dependencies/base/evil.py was added"),
        (_empty_folder, "plugin/numpy/ was added"),
        (_writable_by_others, "plugin/acme_upper/step.py may be written by others"),
        (_folder_writable_by_others, "plugin/acme_upper may be written by others"),
        (_other_listing, "contents.json was changed"),
    ],
)
def test_stored_content_that_changed_is_not_opened_and_the_file_is_named(
    store: ContentStore, verdict: Verdict, change: Callable[[Path], None], told: str
) -> None:
    stored = put(store, verdict)
    contents = contents_of(stored)
    change(_unlocked(stored.folder) / "plugin")
    with pytest.raises(ContentStoreError) as refused:
        store.open(stored.sha256, contents=contents)
    assert told in str(refused.value.got)


def test_folders_that_were_made_writable_and_not_written_are_opened(
    store: ContentStore, verdict: Verdict
) -> None:
    stored = put(store, verdict)
    _unlocked(stored.folder)
    assert store.open(stored.sha256, contents=contents_of(stored)) == stored


def test_a_dependency_that_is_a_link_is_not_stored(store: ContentStore, verdict: Verdict) -> None:
    def linking(folder: Path) -> dict[str, str]:
        folder.mkdir()
        (folder / "base.py").symlink_to("/etc/passwd")
        return {"base": "1.0"}

    with (
        pytest.raises(ContentStoreError, match="plain files"),
        store.staged(package_of(verdict), bring=linking),
    ):
        pass
    assert list(store.root.iterdir()) == []


def test_content_is_removed_although_it_is_read_only(store: ContentStore, verdict: Verdict) -> None:
    stored = put(store, verdict)
    contents = contents_of(stored)
    store.remove(stored.sha256)
    assert list(store.root.iterdir()) == []
    store.remove(stored.sha256)
    with pytest.raises(ContentStoreError, match="not there"):
        store.open(stored.sha256, contents=contents)


@pytest.mark.parametrize("name", ["", "..", "a" * 63, "A" * 64, "../" + "a" * 64, "a" * 64 + "\n"])
def test_content_has_a_digest_for_a_name(store: ContentStore, name: str) -> None:
    with pytest.raises(ContentStoreError, match="SHA-256"):
        store.open(name, contents="0" * 64)
    with pytest.raises(ContentStoreError, match="SHA-256"):
        store.remove(name)
