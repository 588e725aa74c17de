"""Bring your own images: layouts, sizes, modes, broken files."""

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from metann.config.data import DataSection
from metann.data.classes import check_files, class_count
from metann.data.prepared import write_prepared
from metann.data.raw import load_dataset
from metann.datasets._pictures import read_picture
from metann.datasets.image_folder import class_names
from metann.errors import MetannError


def settings(root, **keys):
    return DataSection(name="image_folder", root=root, image_size=8, **keys)


def colour(shade, width=12, height=9):
    return Image.new("RGB", (width, height), shade)


def save(picture, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


def fill(root, splits=("",), classes=("apple", "pear", "zebra"), n=6):
    rng = np.random.default_rng(0)
    for split in splits:
        for c, name in enumerate(classes):
            for i in range(n):
                width, height = rng.integers(1, 40, 2)
                save(colour((80 * c, 10 * i, 200), width, height), root / split / name / f"{i}.png")
    return root


def test_folders_of_classes(tmp_path):
    raw = load_dataset(settings(fill(tmp_path)))
    assert raw.images_NCHW.shape == (18, 3, 8, 8)
    assert raw.class_names == class_names(settings(tmp_path)) == ("apple", "pear", "zebra")
    assert class_count(settings(tmp_path)) == 3
    np.testing.assert_array_equal(raw.labels_N, np.repeat([0, 1, 2], 6))
    np.testing.assert_array_equal(raw.images_NCHW[:, 0, 0, 0], 80 * raw.labels_N)
    np.testing.assert_array_equal(raw.images_NCHW[:6, 1, 3, 3], 10 * np.arange(6))
    prepared = write_prepared(tmp_path / "out", raw, settings(tmp_path, test_fraction=0.5, val_fraction=1 / 3))
    assert [len(prepared.samples.rows(name)) for name in ("train", "val", "test")] == [6, 3, 9]


def test_folders_of_splits(tmp_path):
    fill(tmp_path, ["train", "val"])
    fill(tmp_path, ["test"], classes=("apple", "pear"), n=2)  # a class may be missing in test
    raw = load_dataset(settings(tmp_path))
    assert [(raw.official_split == name).sum() for name in ("train", "val", "test")] == [18, 18, 4]
    np.testing.assert_array_equal(np.unique(raw.labels_N[raw.official_split == "test"]), [0, 1])
    for split in ("train", "val", "test"):
        rows = raw.official_split == split
        np.testing.assert_array_equal(raw.images_NCHW[rows, 0, 0, 0], 80 * raw.labels_N[rows])


def test_files_that_are_no_images_are_passed_over(tmp_path):
    fill(tmp_path)
    for name in ("notes.txt", ".hidden.png", "Thumbs.db", "._0.png"):
        (tmp_path / "apple" / name).write_text("text")
    for name in (".git", "__MACOSX"):
        (tmp_path / name).mkdir()
    save(colour("red"), tmp_path / "zebra" / "more" / "UPPER.JPG", format="JPEG")
    assert len(load_dataset(settings(tmp_path)).labels_N) == 19


def layout_one_class(root):
    fill(root, classes=("apple",))


def layout_loose_images(root):
    save(colour("red"), root / "0.png")


def layout_no_train(root):
    fill(root, ["val", "test"])


def layout_strange_split(root):
    fill(root, ["train", "holdout"])


def layout_strange_class(root):
    fill(root, ["train"])
    fill(root, ["test"], classes=("aple",))


def layout_empty_class(root):
    fill(root)
    (root / "empty").mkdir()


def layout_nothing(root):
    root.rmdir()


def layout_file(root):
    root.rmdir()
    root.write_text("")


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (layout_one_class, r"1 class folders \(apple\)"),
        (layout_loose_images, r"0 class folders \(none\)"),
        (layout_no_train, "'train' is missing beside test, val"),
        (layout_strange_split, "'holdout' stands beside train"),
        (layout_strange_class, "class 'aple' is not in train; known: apple, pear, zebra"),
        (layout_empty_class, "empty holds no images"),
        (layout_nothing, "No such file or directory; set data.root"),
        (layout_file, "Not a directory; set data.root"),
    ],
)
def test_layouts_that_are_refused(tmp_path, make, complaint):
    root = tmp_path / "images"
    root.mkdir()
    make(root)
    with pytest.raises(MetannError, match=complaint) as caught:
        load_dataset(settings(root))
    assert str(root) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_layout_is_checked_without_opening_an_image(tmp_path):
    fill(tmp_path)
    (tmp_path / "apple" / "0.png").write_text("broken")
    check_files(settings(tmp_path))
    assert class_count(settings(tmp_path)) == 3
    with pytest.raises(MetannError, match=r"set data\.root"):
        check_files(settings(tmp_path / "no"))


# modes; every picture is flat, so resizing changes nothing


def palette():
    return colour((255, 0, 0)).convert("P", palette=Image.Palette.ADAPTIVE)


def see_through_palette():
    picture = palette()
    picture.info["transparency"] = picture.getpixel((0, 0))
    return picture


GREY16 = Image.fromarray(np.full((9, 12), 40_000, np.uint16))
MODES = {
    "colour.png": (colour((10, 20, 30)), (10, 20, 30)),
    "grey.png": (Image.new("L", (12, 9), 77), (77,) * 3),
    "black and white.png": (Image.new("1", (12, 9), 1), (255,) * 3),
    "palette.png": (palette(), (255, 0, 0)),
    "transparent palette.png": (see_through_palette(), (255, 255, 255)),
    "transparent.png": (Image.new("RGBA", (12, 9), (255, 0, 0, 0)), (255, 255, 255)),
    "half.png": (Image.new("RGBA", (12, 9), (255, 0, 0, 128)), (255, 127, 127)),
    "grey and alpha.png": (Image.new("LA", (12, 9), (0, 0)), (255,) * 3),
    "16 bit.png": (GREY16, (156,) * 3),
    "16 bit.tif": (GREY16, (156,) * 3),
    "32 bit.tif": (Image.fromarray(np.full((9, 12), 40_000, np.int32)), (156,) * 3),
    "ink.jpg": (colour((200, 30, 60)).convert("CMYK"), (200, 30, 60)),
    "ink.tif": (colour((200, 30, 60)).convert("CMYK"), (200, 30, 60)),
    "video.jpg": (colour((200, 30, 60)).convert("YCbCr"), (200, 30, 60)),
    "web.webp": (colour((200, 30, 60)), (200, 30, 60)),
    "old.bmp": (colour((200, 30, 60)), (200, 30, 60)),
    "moving.gif": (palette(), (255, 0, 0)),
    "plain.ppm": (colour((200, 30, 60)), (200, 30, 60)),
    "one pixel.png": (colour((1, 2, 3), 1, 1), (1, 2, 3)),
    "ribbon.png": (colour((1, 2, 3), 500, 1), (1, 2, 3)),
}


@pytest.mark.parametrize("name", MODES)
def test_modes(name, tmp_path):
    picture, want = MODES[name]
    pixels = read_picture(save(picture, tmp_path / name), 8)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (3, 8, 8)
    np.testing.assert_allclose(pixels.reshape(3, -1).astype(int), np.array(want)[:, None].repeat(64, axis=1), atol=6)


def test_grey_folders_stay_one_channel(tmp_path):
    rng = np.random.default_rng(0)
    for c in range(2):
        for i in range(3):
            pixels = rng.integers(0, 256, (20, 20), dtype=np.uint8)
            save(Image.fromarray(pixels).convert(["L", "RGB", "LA"][i]), tmp_path / f"{c}" / f"{i}.png")
    assert load_dataset(settings(tmp_path)).images_NCHW.shape == (6, 1, 8, 8)
    save(colour((5, 5, 6)), tmp_path / "1" / "colour.png")
    assert load_dataset(settings(tmp_path)).images_NCHW.shape == (7, 3, 8, 8)


def test_the_centre_is_kept_and_resized_once(tmp_path):
    """Against the two steps, short side resized and then the centre cut."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
    path = save(Image.fromarray(pixels), tmp_path / "a.png")
    want = Image.fromarray(pixels).resize((12, 8), Image.Resampling.BILINEAR).crop((2, 0, 10, 8))
    np.testing.assert_array_equal(read_picture(path, 8).transpose(1, 2, 0), np.asarray(want))


def test_pictures_stand_upright(tmp_path):
    picture = Image.new("RGB", (8, 8), "black")
    picture.paste("white", (0, 0, 4, 8))  # left half
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: left becomes top
    upright = read_picture(save(picture, tmp_path / "turned.png", exif=exif), 8)
    assert (upright[:, :4] == 255).all()
    assert (upright[:, 4:] == 0).all()


@pytest.mark.parametrize("scale", [1, 4, 20])
def test_large_photos_are_decoded_small_but_alike(tmp_path, scale):
    patches = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    photo = Image.fromarray(patches).resize((64 * scale, 48 * scale), Image.Resampling.BICUBIC)
    path = save(photo, tmp_path / "photo.jpg", quality=95, subsampling=0)
    want = photo.resize((8, 8), Image.Resampling.BILINEAR, box=(8 * scale, 0, 56 * scale, 48 * scale))
    np.testing.assert_allclose(read_picture(path, 8).transpose(1, 2, 0).astype(int), np.asarray(want).astype(int), atol=6)


# broken files


def bomb():
    """A PNG that says it is 20,000 x 20,000 and holds almost nothing."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (lambda whole: b"", "empty file"),  # noqa: ARG005
        (lambda whole: b"these are words", "not a picture"),  # noqa: ARG005
        (lambda whole: whole[: len(whole) // 2], "truncated"),
        (lambda whole: whole[:400] + bytes(400) + whole[800:], "broken"),
        (lambda whole: bomb(), "more than 89478485 pixels"),  # noqa: ARG005
        (lambda whole: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),  # noqa: ARG005
    ],
)
def test_broken_images_are_named(tmp_path, content, complaint):
    fill(tmp_path)
    rng = np.random.default_rng(0)
    path = save(Image.fromarray(rng.integers(0, 256, (30, 30, 3), dtype=np.uint8)), tmp_path / "pear" / "bad.png")
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(MetannError, match=f"1 of 19 images.*{path} .*{complaint}.*repair or remove") as caught:
        load_dataset(settings(tmp_path))
    assert "\n" not in str(caught.value)


def test_many_broken_images_are_counted(tmp_path):
    fill(tmp_path)
    for i in range(5):
        (tmp_path / "apple" / f"{i}.png").write_bytes(b"")
    with pytest.raises(MetannError, match=r"5 of 18 images cannot be read: .*0\.png.*1\.png.*2\.png \(empty file\), \.\.\.;") as caught:
        load_dataset(settings(tmp_path))
    assert "3.png" not in str(caught.value)


def test_floating_point_pictures_are_refused(tmp_path):
    fill(tmp_path)
    save(Image.fromarray(np.full((9, 9), 0.5, np.float32)), tmp_path / "apple" / "float.tif")
    with pytest.raises(MetannError, match=r"float\.tif.*8 or 16 bits"):
        load_dataset(settings(tmp_path))


def test_reading_leaves_the_warning_filters_alone(tmp_path):
    before = list(warnings.filters)
    load_dataset(settings(fill(tmp_path)))
    assert warnings.filters == before


def test_one_image_of_each_class_is_too_few_to_split(tmp_path):
    raw = load_dataset(settings(fill(tmp_path, n=1)))
    with pytest.raises(MetannError, match="at most one per class"):
        write_prepared(tmp_path / "out", raw, settings(tmp_path))
