"""What the audit's kinds of findings mean to a person who has never heard of them, and what to do about each."""

from __future__ import annotations

from dataclasses import dataclass

from striate.report.wording import text

SERIOUS, LOOK, NOTE = "serious", "look", "note"


@dataclass(frozen=True)
class Words:
    """heading: of the card. meaning: why it matters. advice: what to do. level: SERIOUS, LOOK or NOTE."""

    level: str
    heading: str
    advice: str
    meaning: str


_UNUSED = "Open it in another program. Mend or replace it if you need it; otherwise delete it."

WORDS = {
    "contradiction": Words(
        SERIOUS,
        "The same image under two names",
        "Decide which class each of these images belongs to",
        "Exactly the same file lies in more than one class. One of the labels must be wrong, and a network that is "
        "told both learns neither.",
    ),
    "near-contradiction": Words(
        SERIOUS,
        "Nearly the same image under two names",
        "Decide which class each of these images belongs to",
        "These look like one photograph (saved again, resized, cropped or mirrored) that was put into more than one "
        "class. One of the labels is probably wrong.",
    ),
    "doubtful-label": Words(
        SERIOUS,
        "Labels that look wrong",
        "Check these labels",
        "Networks that had not seen these images would have given them another label. Some of the labels are wrong; "
        "others are right, and the images are merely unusual.",
    ),
    "leak": Words(
        SERIOUS,
        "Test images that were also practised on",
        "Drop or move the copies, so that no test image is practised on",
        "Exactly the same file is among the images for training and among those for measuring. Having seen the answer, "
        "the network will look better than it is.",
    ),
    "near-leak": Words(
        SERIOUS,
        "Test images that look like training images",
        "Drop or move the copies, so that no test image is practised on",
        "Nearly the same photograph is among the images for training and among those for measuring. The network will "
        "look better than it is.",
    ),
    "duplicate": Words(
        LOOK,
        "The same file more than once",
        "Drop the copies",
        "These files are equal to the last byte. Copies teach nothing new and make one image count several times.",
    ),
    "near-duplicate": Words(
        LOOK,
        "Nearly the same picture more than once",
        "Look whether the copies are wanted",
        "One photograph saved again, resized, cropped or mirrored. It counts several times; the copies teach little.",
    ),
    "blank": Words(
        LOOK,
        "Nothing to be seen",
        "Drop the blank images",
        "Almost one even colour: a lens cap, a failed export, an empty page.",
    ),
    "tiny": Words(
        LOOK,
        "Very small images",
        "Replace the small images by the originals",
        "Far smaller than the others: thumbnails or icons. What the network needs may not be visible in them.",
    ),
    "huge": Words(
        LOOK,
        "Very large images",
        "Look whether these are photographs",
        "Far larger than the others: slow to read, and perhaps a scan or a poster.",
    ),
    "odd-aspect": Words(
        LOOK,
        "Very long or very tall images",
        "Look whether these are photographs",
        "Strips and banners lose most of what they show when they are cropped.",
    ),
    "odd-format": Words(
        LOOK,
        "Files of an unusual format",
        "Look whether these are photographs",
        "Hardly any other file here is of this format. Such files are often placeholders, drawings or screenshots.",
    ),
    "imbalance": Words(
        LOOK,
        "Classes with few images",
        "Collect more images of the small classes",
        "At most a fifth as many images as the largest class has. The network will prefer the large classes.",
    ),
    "tiny-class": Words(
        LOOK,
        "Classes with a single image",
        "Collect more images of these classes, or remove them",
        "From one image hardly anything can be learnt, and nothing can be measured.",
    ),
    "not-compared": Words(
        NOTE, "Too many images to compare all", "", "Near-copies were not looked for among so many images."
    ),
    "mistyped": Words(
        NOTE,
        "Files with the wrong ending",
        "Rename them when convenient",
        "The name says one format, the content is another. The content decides, so nothing is lost.",
    ),
    "unreadable": Words(LOOK, "Files that could not be read", _UNUSED, "The disk or the permissions did not allow it."),
    "empty": Words(LOOK, "Empty files", _UNUSED, "These files hold nothing at all: a copy or a download that failed."),
    "truncated": Words(
        LOOK, "Files that end too early", _UNUSED, "Part of the image is missing: a copy or a download that broke off."
    ),
    "damaged": Words(LOOK, "Damaged files", _UNUSED, "What is in these files is no longer a whole image."),
    "not-an-image": Words(
        LOOK, "Files that are no images", _UNUSED, "Named like an image, but something else is inside."
    ),
    "bomb": Words(
        LOOK,
        "Files of absurd size",
        _UNUSED,
        "They claim more pixels than any photograph has, so they were not opened.",
    ),
    "no-class": Words(
        LOOK,
        "Images without a class",
        "Put these images into the folders of their classes",
        "They lie outside the class folders, so nobody knows what they show. They are not used.",
    ),
    "no-part": Words(
        LOOK,
        "Images beside the parts",
        "Put these images into train, val or test",
        "They lie beside the folders of the parts and are not used.",
    ),
    "empty-class": Words(
        LOOK,
        "Classes without an image",
        "Add images, or remove these folders",
        "The folder is there, the images are not.",
    ),
    "unseen-class": Words(
        SERIOUS,
        "Classes that are tested but never taught",
        "Add training images of these classes, or remove them",
        "There are images for measuring but none for training, so the class cannot be learnt. It is not used.",
    ),
    "dropped": Words(NOTE, "Dropped by your decisions", "", "A decisions file said so; they are not used."),
    "hidden": Words(NOTE, "Hidden files", "", "Hidden files and folders belong to the system; they are not used."),
    "junk": Words(
        NOTE,
        "Left over by other programs",
        "",
        "Files that an operating system or a tool left here; they are not used.",
    ),
    "other-file": Words(NOTE, "Files that are not images", "", "Texts, lists and the like; they are not used."),
}


def heading(kind: str) -> str:
    """The kind in plain words, HTML."""
    known = WORDS.get(kind)
    return known.heading if known else text(kind[:1].upper() + kind[1:].replace("-", " "))


def level(kind: str, action: str) -> str:
    """How serious: by kind; of an unknown kind, a conversion is a note and anything else worth a look."""
    known = WORDS.get(kind)
    return known.level if known else NOTE if action == "converted" else LOOK
