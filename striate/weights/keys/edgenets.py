"""The segmenters of sacmehta/EdgeNets: ESPNetv2."""

from __future__ import annotations

from striate.tables import table
from striate.weights.fitting import LEFT_OUT, Rename
from striate.weights.keys import KeyMap, PublishedRow, published


def _pyramid(theirs: str, ours: str) -> tuple[Rename, ...]:
    """A unit's pyramid of dilated convolutions."""
    rows = table(
        Rename,
        """
        theirs             ours
        proj_1x1.conv      reduce.conv
        proj_1x1.bn        reduce.norm
        proj_1x1.act       reduce.act
        spp_dw.{b}.conv    branches.{b}
        br_after_cat.bn    joined.norm
        br_after_cat.act   joined.act
        conv_1x1_exp.conv  expand.conv
        conv_1x1_exp.bn    expand.norm
        """,
    )
    return tuple(Rename(f"{theirs}.{row.theirs}", f"{ours}.{row.ours}") for row in rows)


def _pooling(theirs: str, ours: str) -> tuple[Rename, ...]:
    """The pyramid pooling of a step of the decoder."""
    rows = table(
        Rename,
        """
        theirs                  ours
        projection_layer.cbr.0  project.conv
        projection_layer.cbr.1  project.norm
        projection_layer.cbr.2  project.act
        stages.{b}              scales.{b}
        merge_layer.0.br.0      joined.norm
        merge_layer.0.br.1      joined.act
        merge_layer.2.cbr.0     mix.conv
        merge_layer.2.cbr.1     mix.norm
        merge_layer.2.cbr.2     mix.act
        """,
    )
    return tuple(Rename(f"{theirs}.{row.theirs}", f"{ours}.{row.ours}") for row in rows)


# Their decoder counts its steps from the coarsest, 1; the map of the encoder that is added in step n is n + 1 there.
KEYS = (
    *table(
        Rename,
        """
        theirs                                    ours
        base_net.level1.conv                      level1.conv
        base_net.level1.bn                        level1.norm
        base_net.level1.act                       level1.act
        base_net.level{n}_0.inp_reinf.{c}.conv    level{n}.down.image.{c}.conv
        base_net.level{n}_0.inp_reinf.{c}.bn      level{n}.down.image.{c}.norm
        base_net.level{n}_0.inp_reinf.{c}.act     level{n}.down.image.{c}.act
        base_net.level{n}_0.act                   level{n}.down.act
        base_net.level{n}.{u}.module_act          level{n}.units.{u}.act
        bu_dec_l4.merge_layer.3                   classifier
        bu_dec_l{n}.merge_layer.3                 step{n}.expand
        bu_dec_l{n}.br.br.0                       step{n}.expanded.norm
        bu_dec_l{n}.br.br.1                       step{n}.expanded.act
        merge_enc_dec_l{n}.wt_layer.1             step{n-1}.skip.gate
        merge_enc_dec_l{n}.expansion_layer.cbr.0  step{n-1}.skip.conv.conv
        merge_enc_dec_l{n}.expansion_layer.cbr.1  step{n-1}.skip.conv.norm
        merge_enc_dec_l{n}.expansion_layer.cbr.2  step{n-1}.skip.conv.act
        bu_br_l{n}.0                              step{n-1}.added.norm
        bu_br_l{n}.1                              step{n-1}.added.act
        """,
    ),
    Rename("base_net.level{n}_0.eesp.module_act", LEFT_OUT),  # never run
    *_pyramid("base_net.level{n}_0.eesp", "level{n}.down.pyramid"),
    *_pyramid("base_net.level{n}.{u}", "level{n}.units.{u}.pyramid"),
    *_pooling("bu_dec_l4", "pooling"),
    *_pooling("bu_dec_l{n}", "step{n}.pooling"),
)


def key_map(net: str, arch: str = "") -> KeyMap | None:
    """The rules for a network, or None."""
    return KeyMap(KEYS) if net in {row.net for row in WEIGHTS} else None


WEIGHTS = published("edgenets", PublishedRow)

DIFFERENT: dict[str, str] = {}
