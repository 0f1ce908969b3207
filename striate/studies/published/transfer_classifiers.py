"""Features of a pretrained network with classical classifiers: which of them suits them?"""

from __future__ import annotations

from striate.studies.study import TEST_ERROR, Arm, Claim, Context, Published, Result, Scale, Study

KINDS = {
    "logistic regression": "logistic",
    "linear support vectors": "svm",
    "naive Bayes": "bayes",
    "nearest neighbours": "knn",
    "decision tree": "tree",
    "random forest": "forest",
}
LINEAR, BAYES, TREE, FOREST = "logistic regression", "naive Bayes", "decision tree", "random forest"


def compute(arm: Arm, context: Context) -> Result:
    """The test error of a classifier on the features."""
    from striate.studies.heads import features, scored

    return scored(features(context.opened(context.data)), context.seed, kind=KINDS[arm.label])


def _scale(data: str, what: str, seeds: int, time: str, images: tuple[int, int] | None = None) -> Scale:
    deviation = (
        f"The 1,280 features of EfficientNet-Lite0 in place of VGG-16's 4,096; {what}. Each seed draws another fifth "
        "of the images for testing."
    )
    return Scale(data, {}, seeds, deviation, time, images=images)


STUDY = Study(
    "transfer-classifiers",
    "Classical classifiers on the features of a network",
    "Which classifier goes best with the features of a pretrained network?",
    "Donahue et al. 2013, arXiv:1310.1531 (DeCAF)",
    "N2, N5, N6",
    (
        Published(
            "a network's last features with another classifier",
            "linear classifiers suffice (DeCAF: logistic regression and support vectors)",
            "with any classifier: trees, forests, Bayes",
            arm=LINEAR,
        ),
    ),
    tuple(map(Arm, KINDS)),
    (
        Claim("a decision tree has the larger error than logistic regression", TEST_ERROR, TREE, LINEAR),
        Claim("a random forest has the larger error than logistic regression", TEST_ERROR, FOREST, LINEAR),
        Claim("naive Bayes has the larger error than logistic regression", TEST_ERROR, BAYES, LINEAR),
    ),
    {
        "quick": _scale("faces", "200 small photographs of faces and others", 5, "1 minute on two cores"),
        "cpu": _scale("hymenoptera", "400 photographs of ants and bees", 10, "5 minutes on two cores"),
        "paper": _scale("imagenette", "13,000 photographs of ten classes of ImageNet", 10, "an hour on two cores"),
    },
    (TEST_ERROR,),
    compute,
)
