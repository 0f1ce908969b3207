"""The libraries whose weights can be read; the command line shows them, so nothing is imported here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Library:
    """A library whose weights can be read. algorithm: of its published checksums, "" for none.

    licence: in words. short_licence: in a table, an SPDX identifier where there is one licence.
    address: of a published file, for the record. download: the same as an address that gives the file; "" for none.
    """

    name: str
    title: str
    address: str
    licence: str
    short_licence: str
    algorithm: str
    download: str = ""


LIBRARIES = {
    library.name: library
    for library in (
        Library(
            "torchvision",
            "torchvision 0.28",
            "https://download.pytorch.org/models/{file}",
            "BSD-3-Clause (the library; its weights have no separate licence)",
            "BSD-3-Clause",
            "sha256",
            "https://download.pytorch.org/models/{file}",
        ),
        Library(
            "timm",
            "timm 1.0.31",
            "https://huggingface.co/timm/{peer}",
            "Apache-2.0",
            "Apache-2.0",
            "sha256",
            "https://huggingface.co/timm/{peer}/resolve/main/model.safetensors",
        ),
        Library(
            "pytorchcv",
            "pytorchcv 0.0.74",
            "https://github.com/osmr/imgclsmob/releases ({file}.zip)",
            "MIT",
            "MIT",
            "sha1",
        ),
        Library(
            "keras",
            "Keras Applications",
            "https://storage.googleapis.com/{folder}/{file}",
            "as stated for each network (Apache-2.0, MIT, BSD-3-Clause or CC-BY-4.0)",
            "by model",
            "md5",
            "https://storage.googleapis.com/{folder}/{file}",
        ),
        Library(
            "caffe",
            "Caffe's Model Zoo",
            "https://github.com/BVLC/caffe/wiki/Model-Zoo ({file})",
            "as stated on each model's page (BVLC's: unrestricted use; SqueezeNet: BSD-2-Clause; VGG: CC-BY-4.0)",
            "by model",
            "",
        ),
        Library(
            "landscape",
            "tomgoldstein/loss-landscape",
            "https://github.com/tomgoldstein/loss-landscape ({file})",
            "MIT",
            "MIT",
            "",
        ),
        Library(
            "akamaster",
            "akamaster/pytorch_resnet_cifar10",
            "https://github.com/akamaster/pytorch_resnet_cifar10/tree/master/pretrained_models ({file})",
            "BSD-2-Clause",
            "BSD-2-Clause",
            "sha256",
            "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/{file}",
        ),
        Library(
            "darknet",
            "Darknet",
            "https://pjreddie.com/media/files/{file}",
            "Darknet's (free of any condition)",
            "Darknet's",
            "",
            "https://pjreddie.com/media/files/{file}",
        ),
        Library(
            "edgenets",
            "sacmehta/EdgeNets",
            "https://github.com/sacmehta/EdgeNets/tree/master/model/segmentation/model_zoo/espnetv2 ({file})",
            "MIT",
            "MIT",
            "",
            "https://github.com/sacmehta/EdgeNets/raw/master/model/segmentation/model_zoo/espnetv2/{file}",
        ),
    )
}
