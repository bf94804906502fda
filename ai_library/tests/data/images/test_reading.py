"""Many files are read in their order, in little memory, and all that is wrong with them is told at once."""

import sys
import threading
import time
import warnings

import numpy as np
import pytest
from PIL import Image

from ai_library import ImageFolderDataSource, InputError
from ai_library.data.folders.image_files import image_files
from ai_library.data.images.decoding import ENDS_EARLY
from ai_library.data.images.reading import UnreadableImagesError, read_all, read_files
from ai_library.runtime.threads import Room, map_in_threads
from ai_library.tests.memory import peak_bytes

SHAPE = (8, 8, 1)


@pytest.fixture
def paths(tmp_path):
    """60 images of one level each, which tells their number, as PNG, TIFF and JPEG. The TIFFs are read in threads."""
    made = []
    for index in range(60):
        ending, side = (("png", 16), ("tif", 120), ("jpg", 16))[index % 3]
        made.append(tmp_path / f"{index}.{ending}")
        Image.new("L", (side, side), 4 * index).save(made[-1])
    return made


def numbers(images):
    return [round(float(image.mean()) / 4) for image in images]


def test_files_are_read_in_their_order(paths):
    assert numbers(each.image for each in read_files(paths, SHAPE)) == [*range(60)]
    read = read_all(paths, SHAPE)
    assert numbers(read.images) == read.kept.tolist() == [*range(60)]
    assert set(read.sizes) == {(16, 16), (120, 120)}


def test_all_broken_files_are_named_at_once_or_left_out(paths):
    broken = paths[1::7]
    for path in broken:
        path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(UnreadableImagesError, match=f"^{len(broken)} of 60 images cannot be used: ") as caught:
        read_all(paths, SHAPE)
    assert caught.value.faults.keys() == {*map(str, broken)}
    assert all(str(path) in str(caught.value) for path in broken)
    read = read_all(paths, SHAPE, skip_broken=True)
    assert numbers(read.images) == read.kept.tolist() == [i for i in range(60) if i % 7 != 1]
    assert read.faults == caught.value.faults
    assert any(f"{len(broken)} images: left out" in line for line in read.told())


def test_a_message_on_thousands_of_broken_files_is_short(tmp_path):
    paths = [tmp_path / f"{i:04}.png" for i in range(3000)]
    with pytest.raises(UnreadableImagesError, match="and 2,950 more") as caught:
        read_all(paths, SHAPE)
    assert len(str(caught.value)) < 100 + 60 * (len(str(tmp_path)) + 12)
    assert len(caught.value.faults) == 3000


def test_where_none_can_be_read_leaving_out_does_not_help(tmp_path):
    (tmp_path / "0.png").write_text("no image")
    with pytest.raises(UnreadableImagesError, match="1 of 1 images"):
        read_all([tmp_path / "0.png"], SHAPE, skip_broken=True)


def test_what_was_done_is_counted(paths):
    for path in paths[2:30:3]:
        path.write_bytes(path.read_bytes()[:-2])
    assert read_all(paths, SHAPE).remarks == {ENDS_EARLY: 10}


@pytest.mark.slow
def test_reading_many_takes_no_more_memory_than_their_array(tmp_path):
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8))
    photo.save(tmp_path / "photo.png")
    few, many = (peak_bytes(lambda n=n: read_all([tmp_path / "photo.png"] * n, (32, 32, 3))) for n in (10, 60))
    assert many - few < 50 * 32 * 32 * 3 + 1e6


def test_threads_leave_warnings_and_the_terminal_as_they_were(paths, capfd):
    for path in paths[1::3]:  # libtiff writes about these past Python
        content = bytearray(path.read_bytes())
        content[-60:-20] = bytes(40)
        path.write_bytes(content)
    before = warnings.filters[:]
    list(read_files(paths * 4, SHAPE))
    assert warnings.filters == before
    assert capfd.readouterr().err == ""
    print("still there", file=sys.stderr)
    assert capfd.readouterr().err == "still there\n"


def test_threads_take_few_items_ahead_and_end_with_their_consumer():
    taken = []

    def items():
        for i in range(1000):
            taken.append(i)
            yield i

    results = map_in_threads(lambda i: i * i, items())
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    results.close()
    assert len(taken) < 1000


def test_items_that_are_quick_are_done_in_the_callers_thread_when_their_turn_comes():
    def thread_of(item):
        return item, threading.current_thread()

    done = list(map_in_threads(thread_of, range(100), quick=lambda i: i % 3 > 0))
    assert [item for item, _ in done] == [*range(100)]
    assert all((thread is threading.current_thread()) == (item % 3 > 0) for item, thread in done)


def test_what_threads_hold_at_once_is_bounded():
    room, held, most = Room(10), [0], [0]
    lock = threading.Lock()

    def hold(amount):
        with room.taken(amount):
            with lock:
                held[0] += amount
                most[0] = max(most[0], held[0])
            time.sleep(0.002)
            with lock:
                held[0] -= amount

    threads = [threading.Thread(target=hold, args=(amount,)) for amount in [3, 4, 6, 25, 1] * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held == [0]
    assert most[0] == 25  # which is alone


def test_files_of_all_usual_endings_are_found(tmp_path):
    names = ["a.jfif", "b.JPE", "c.avif", "d.heic", "e.HEIF", "f.pgm"]
    for name in [*names, "g.txt", "h.csv"]:
        (tmp_path / name).touch()
    assert [path.name for path in image_files(tmp_path)] == names


def test_a_folder_names_the_broken_images_of_all_splits_or_goes_on_without(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for index in range(60):
            Image.new("L", (8, 8), index).save(tmp_path / label / f"{index}.png")
    broken = [tmp_path / "cat" / f"{index}.png" for index in range(0, 60, 5)]
    for path in broken:
        path.write_text("broken")
    with pytest.raises(InputError, match="12 of 120 images") as caught:
        ImageFolderDataSource(tmp_path, image_size=8).size("train")
    assert all(str(path) in str(caught.value) for path in broken)
    source = ImageFolderDataSource(tmp_path, image_size=8, skip_broken=True)
    assert sum(source.size(split) for split in source.splits) == 108
