"""What the audit's kinds of findings mean, how serious they are, and what to do about each. Plain text."""

from __future__ import annotations

from dataclasses import dataclass

SERIOUS, LOOK, NOTE = "serious", "look", "note"


@dataclass(frozen=True)
class Words:
    """heading: of the card. meaning: why it matters. advice: what to do. level: SERIOUS, LOOK or NOTE."""

    level: str
    heading: str
    advice: str
    meaning: str


_UNUSED = "Open it in another program. Repair or replace it if you need it; otherwise delete it."

WORDS = {
    "contradiction": Words(
        SERIOUS,
        "Identical images with conflicting labels",
        "Decide which label each of these images has",
        "Exactly the same file has more than one label. One of them must be wrong, and training on both is noise.",
    ),
    "near-contradiction": Words(
        SERIOUS,
        "Near-duplicates with conflicting labels",
        "Decide which label each of these images has",
        "These look like one photograph (saved again, resized, cropped, turned or mirrored) with more than one label. "
        "One of the labels is probably wrong.",
    ),
    "label-error": Words(
        SERIOUS,
        "Likely label errors",
        "Check these labels",
        "Models that were not trained on these images predict another label. Some of the labels are wrong; "
        "others are right, and the images are unusual.",
    ),
    "leak": Words(
        SERIOUS,
        "Train/test leakage: exact duplicates",
        "Drop or move the duplicates, so that no test image is trained on",
        "Exactly the same file is in the training images and in the held-out images. "
        "The measured performance is too high.",
    ),
    "near-leak": Words(
        SERIOUS,
        "Train/test leakage: near-duplicates",
        "Drop or move the duplicates, so that no test image is trained on",
        "Nearly the same photograph is in the training images and in the held-out images. "
        "The measured performance is too high.",
    ),
    "duplicate": Words(
        LOOK,
        "Exact duplicates",
        "Drop the duplicates",
        "These files are equal to the last byte. Duplicates add no information and make one image count several times.",
    ),
    "near-duplicate": Words(
        LOOK,
        "Near-duplicates",
        "Check whether the near-duplicates are wanted",
        "One photograph saved again, resized, cropped, turned or mirrored. It counts several times and adds little.",
    ),
    "hard-image": Words(
        NOTE,
        "Hard images",
        "Look at a few: they show what is difficult",
        "Models that were not trained on these images predict another label, but by the estimated number of wrong "
        "labels these are probably right.",
    ),
    "blank": Words(
        LOOK,
        "Blank images",
        "Drop the blank images",
        "Almost one uniform colour: a lens cap, a failed export, an empty page.",
    ),
    "tiny": Words(
        LOOK,
        "Very small images",
        "Replace the small images by the originals",
        "Far smaller than the others: thumbnails or icons. The details that matter may not be visible in them.",
    ),
    "huge": Words(
        LOOK,
        "Very large images",
        "Check whether these are photographs",
        "Far larger than the others: slow to read, and perhaps a scan or a poster.",
    ),
    "odd-aspect": Words(
        LOOK,
        "Extreme aspect ratios",
        "Check whether these are photographs",
        "Strips and banners lose most of their content when they are cropped.",
    ),
    "odd-format": Words(
        LOOK,
        "Files of a rare format",
        "Check whether these are photographs",
        "Hardly any other file here has this format. Such files are often placeholders, drawings or screenshots.",
    ),
    "imbalance": Words(
        LOOK,
        "Class imbalance",
        "Collect more images of the small classes",
        "At most a fifth as many images as the largest class has. The network will be biased to the large classes.",
    ),
    "tiny-class": Words(
        LOOK,
        "Classes with a single image",
        "Collect more images of these classes, or remove them",
        "One image is too few to train on, and none is left to evaluate on.",
    ),
    "not-compared": Words(
        NOTE, "Too many images to compare all", "", "Near-duplicates were not searched among so many images."
    ),
    "mistyped": Words(
        NOTE,
        "Wrong file extension",
        "Rename them when convenient",
        "The extension names one format, the content is another. The content is used, so nothing is lost.",
    ),
    "unreadable": Words(LOOK, "Unreadable files", _UNUSED, "The disk or the permissions did not allow reading them."),
    "empty": Words(LOOK, "Empty files", _UNUSED, "These files have no content: a copy or a download that failed."),
    "truncated": Words(
        LOOK, "Truncated files", _UNUSED, "Part of the image is missing: a copy or a download was interrupted."
    ),
    "damaged": Words(LOOK, "Corrupt files", _UNUSED, "The content of these files cannot be decoded."),
    "not-an-image": Words(
        LOOK, "Files that are not images", _UNUSED, "They have an image's extension, but other content."
    ),
    "not-read": Words(
        LOOK,
        "Images of a kind that is not read",
        "Save them as JPEG or PNG",
        "They are images, but of a format or a kind of samples that is not read: HEIC, camera raw files and the like.",
    ),
    "bomb": Words(
        LOOK,
        "Too large to decode",
        "Save them smaller, or delete them",
        "Decoding them would take more memory or time than any photograph needs, so they were not decoded.",
    ),
    "empty-mask": Words(
        LOOK,
        "Empty masks",
        "Check whether these images are without objects",
        "The mask has nothing but background or void. Such images are useful, unless the mask was never drawn.",
    ),
    "bad-mask": Words(
        LOOK,
        "Masks that cannot be used",
        "Save these masks again, as PNG files of their images' sizes",
        "The mask cannot be read, does not have its image's size, or has values that are no class.",
    ),
    "no-mask": Words(LOOK, "Images without a mask", "Add masks for these images", "They are not used."),
    "no-image": Words(NOTE, "Masks or boxes without an image", "", "No image has their name; they are not used."),
    "no-boxes": Words(LOOK, "Images without boxes", "Add annotations for these images", "They are not used."),
    "bad-boxes": Words(
        LOOK,
        "Boxes that cannot be used",
        "Correct these annotations",
        "They cannot be read, are of an image of another size, or have a class that is not listed. Such images are not "
        "used.",
    ),
    "no-object": Words(
        LOOK,
        "Images without objects",
        "Check whether these images are without objects",
        "They are trained on as background, and what is found in them is an error.",
    ),
    "degenerate-box": Words(
        LOOK, "Boxes without an area", "Draw these boxes again", "A side is shorter than a pixel; they are left out."
    ),
    "outside-box": Words(
        LOOK,
        "Boxes outside of their image",
        "Check the format of these boxes, and whether they are of this image",
        "Nothing of them lies in the image; they are left out.",
    ),
    "cut-box": Words(NOTE, "Boxes beyond the border", "", "They were cut to the image."),
    "double-box": Words(NOTE, "Boxes that are there twice", "", "One of them is used."),
    "no-class": Words(
        LOOK,
        "Images without a class",
        "Put these images into the folders of their classes",
        "They are outside the class folders and are not used.",
    ),
    "no-part": Words(
        LOOK,
        "Images outside the splits",
        "Put these images into train, val or test",
        "They are next to the folders of the splits and are not used.",
    ),
    "empty-class": Words(
        LOOK,
        "Classes without images",
        "Add images, or remove these folders",
        "The folder has no images.",
    ),
    "unseen-class": Words(
        SERIOUS,
        "Classes without training images",
        "Add training images of these classes, or remove them",
        "There are held-out images but no training images, so the class cannot be trained. It is not used.",
    ),
    "dropped": Words(NOTE, "Dropped by your decisions", "", "A decisions file drops them; they are not used."),
    "hidden": Words(NOTE, "Hidden files", "", "Hidden files and folders belong to the system; they are not used."),
    "junk": Words(NOTE, "System files", "", "An operating system or a tool left them here; they are not used."),
    "other-file": Words(NOTE, "Other files", "", "Texts, lists and the like; they are not used."),
}


def heading(kind: str) -> str:
    """The kind as a heading."""
    known = WORDS.get(kind)
    return known.heading if known else kind[:1].upper() + kind[1:].replace("-", " ")


def level(kind: str, action: str) -> str:
    """How serious: by kind; of an unknown kind, a conversion is a note and anything else worth a look."""
    known = WORDS.get(kind)
    return known.level if known else NOTE if action == "converted" else LOOK
