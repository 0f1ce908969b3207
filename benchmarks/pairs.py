"""The networks that benchmarks/parity.py compares, each with its peer in another library."""

from __future__ import annotations

from typing import NamedTuple

from striate.tables import table


class Pair(NamedTuple):
    """change: a documented difference to remove first, a key of CHANGES."""

    net: str
    library: str
    peer: str
    change: str


PAIRS = table(
    Pair,
    """
    net                   library      peer                        change
    alexnet_one_tower     torchvision  alexnet                     -
    vgg11                 torchvision  vgg11                       -
    vgg13                 torchvision  vgg13                       -
    vgg16                 torchvision  vgg16                       -
    vgg19                 torchvision  vgg19                       -
    vgg11_bn              torchvision  vgg11_bn                    -
    vgg13_bn              torchvision  vgg13_bn                    -
    vgg16_bn              torchvision  vgg16_bn                    -
    vgg19_bn              torchvision  vgg19_bn                    -
    squeezenet1_0         torchvision  squeezenet1_0               -
    squeezenet1_1         torchvision  squeezenet1_1               -
    inception_v3          torchvision  inception_v3                -
    resnet18              torchvision  resnet18                    -
    resnet34              torchvision  resnet34                    -
    resnet50_modern       torchvision  resnet50                    -
    resnet101_modern      torchvision  resnet101                   -
    resnet152_modern      torchvision  resnet152                   -
    densenet121           torchvision  densenet121                 -
    densenet161           torchvision  densenet161                 -
    densenet169           torchvision  densenet169                 -
    densenet201           torchvision  densenet201                 -
    googlenet             torchvision  googlenet                   -
    mobilenet_v2          torchvision  mobilenet_v2                -
    efficientnet_b0       torchvision  efficientnet_b0             -
    efficientnet_b1       torchvision  efficientnet_b1             -
    efficientnet_b2       torchvision  efficientnet_b2             -
    efficientnet_b3       torchvision  efficientnet_b3             -
    efficientnet_b4       torchvision  efficientnet_b4             -
    efficientnet_b5       torchvision  efficientnet_b5             -
    efficientnet_b6       torchvision  efficientnet_b6             -
    efficientnet_b7       torchvision  efficientnet_b7             -
    se_resnet50           timm         seresnet50                  -
    vgg16                 timm         vgg16                       -
    vgg16_bn              timm         vgg16_bn                    -
    inception_v3_no_aux   timm         inception_v3                -
    resnet18              timm         resnet18                    -
    resnet50_modern       timm         resnet50                    -
    densenet121           timm         densenet121                 -
    preact_resnet152      timm         resnetv2_152                -
    mobilenet_v1          timm         mobilenetv1_100             -
    mobilenet_v2          timm         mobilenetv2_100             -
    mobilenet_v2_035      timm         mobilenetv2_035             -
    mobilenet_v2_050      timm         mobilenetv2_050             -
    mobilenet_v2_075      timm         mobilenetv2_075             -
    mobilenet_v2_140      timm         mobilenetv2_140             -
    efficientnet_lite0    timm         tf_efficientnet_lite0       -
    efficientnet_lite0    timm         efficientnet_lite0          -
    efficientnet_b0       timm         efficientnet_b0             -
    efficientnet_b3       timm         efficientnet_b3             -
    efficientnet_b0       timm         tf_efficientnet_b0          -
    efficientnet_b1       timm         tf_efficientnet_b1          -
    efficientnet_b2       timm         tf_efficientnet_b2          -
    efficientnet_b3       timm         tf_efficientnet_b3          -
    efficientnet_b4       timm         tf_efficientnet_b4          -
    efficientnet_b5       timm         tf_efficientnet_b5          -
    efficientnet_b6       timm         tf_efficientnet_b6          -
    efficientnet_b7       timm         tf_efficientnet_b7          -
    alexnet_one_tower     pytorchcv    alexnetb                    -
    vgg16                 pytorchcv    vgg16                       -
    vgg16_bn              pytorchcv    bn_vgg16b                   -
    bn_inception          pytorchcv    bninception                 -
    resnet50              pytorchcv    resnet50                    -
    resnet101             pytorchcv    resnet101                   -
    resnet152             pytorchcv    resnet152                   -
    se_resnet50           pytorchcv    seresnet50                  -
    se_resnet101          pytorchcv    seresnet101                 -
    se_resnet152          pytorchcv    seresnet152                 -
    squeezenet1_0         pytorchcv    squeezenet_v1_0             -
    squeezenet1_0_bypass  pytorchcv    squeezeresnet_v1_0          -
    squeezenet1_1         pytorchcv    squeezenet_v1_1             -
    resnet20              pytorchcv    resnet20_cifar10            -
    resnet56              pytorchcv    resnet56_cifar10            -
    resnet110             pytorchcv    resnet110_cifar10           -
    preact_resnet164      pytorchcv    preresnet164bn_cifar10      -
    preact_resnet1001     pytorchcv    preresnet1001_cifar10       -
    densenet_bc40_k36     pytorchcv    densenet40_k36_bc_cifar10   -
    densenet_bc100_k12    pytorchcv    densenet100_k12_bc_cifar10  -
    densenet_bc190_k40    pytorchcv    densenet190_k40_bc_cifar10  -
    densenet_bc250_k24    pytorchcv    densenet250_k24_bc_cifar10  -
    se_resnet50           timm         legacy_seresnet50           -
    se_resnet101          timm         legacy_seresnet101          -
    se_resnet152          timm         legacy_seresnet152          -
    efficientnet_lite1    timm         tf_efficientnet_lite1       -
    efficientnet_lite2    timm         tf_efficientnet_lite2       -
    efficientnet_lite3    timm         tf_efficientnet_lite3       -
    efficientnet_lite4    timm         tf_efficientnet_lite4       -
    vgg11_bn              pytorchcv    bn_vgg11                    -
    inception_v3_no_aux   pytorchcv    inceptionv3                 -
    resnet18              pytorchcv    resnet18                    -
    resnet34              pytorchcv    resnet34                    -
    resnet50_modern       pytorchcv    resnet50b                   -
    resnet101_modern      pytorchcv    resnet101b                  -
    resnet152_modern      pytorchcv    resnet152b                  -
    se_resnet50           pytorchcv    seresnet50b                 -
    se_resnet101          pytorchcv    seresnet101b                -
    preact_resnet152      pytorchcv    preresnet152                -
    preact_resnet152      pytorchcv    preresnet152b               -
    preact_resnet200      pytorchcv    preresnet200b               -
    densenet121           pytorchcv    densenet121                 -
    densenet161           pytorchcv    densenet161                 -
    densenet169           pytorchcv    densenet169                 -
    densenet201           pytorchcv    densenet201                 -
    squeezenet1_1         pytorchcv    squeezeresnet_v1_1          -
    mobilenet_v1          pytorchcv    mobilenet_w1                -
    mobilenet_v1_075      pytorchcv    mobilenet_w3d4              -
    mobilenet_v1_050      pytorchcv    mobilenet_wd2               -
    mobilenet_v1_025      pytorchcv    mobilenet_wd4               -
    mobilenet_v2          pytorchcv    mobilenetv2b_w1             -
    efficientnet_b0       pytorchcv    efficientnet_b0             -
    efficientnet_b1       pytorchcv    efficientnet_b1             -
    efficientnet_b0       pytorchcv    efficientnet_b0b            -
    efficientnet_b0       pytorchcv    efficientnet_b0c            -
    efficientnet_b1       pytorchcv    efficientnet_b1b            -
    efficientnet_b2       pytorchcv    efficientnet_b2b            -
    efficientnet_b3       pytorchcv    efficientnet_b3b            -
    efficientnet_b4       pytorchcv    efficientnet_b4b            -
    efficientnet_b5       pytorchcv    efficientnet_b5b            -
    efficientnet_b6       pytorchcv    efficientnet_b6b            -
    efficientnet_b7       pytorchcv    efficientnet_b7b            -
    tiny_darknet          pytorchcv    darknet_tiny                -
    nin_cifar             pytorchcv    nin_cifar10                 -
    nin_cifar             pytorchcv    nin_cifar100                -
    resnet1202            pytorchcv    resnet1202_cifar10          -
    se_resnet20           pytorchcv    seresnet20_cifar10          -
    preact_resnet110      pytorchcv    preresnet110_cifar10        -
    densenet40_k12        pytorchcv    densenet40_k12_cifar10      -
    densenet100_k12       pytorchcv    densenet100_k12_cifar10     -
    densenet100_k24       pytorchcv    densenet100_k24_cifar10     -
    vgg16                 keras        VGG16                       -
    vgg19                 keras        VGG19                       -
    resnet50              keras        ResNet50                    -
    resnet101             keras        ResNet101                   -
    resnet152             keras        ResNet152                   -
    inception_v3_no_aux   keras        InceptionV3                 -
    densenet121           keras        DenseNet121                 -
    densenet169           keras        DenseNet169                 -
    densenet201           keras        DenseNet201                 -
    mobilenet_v1          keras        MobileNet_224               -
    mobilenet_v1          keras        MobileNet_160               -
    mobilenet_v1_075      keras        MobileNet_224               -
    mobilenet_v1_050      keras        MobileNet_192               -
    mobilenet_v1_025      keras        MobileNet_128               -
    mobilenet_v2          keras        MobileNetV2_224             -
    mobilenet_v2_140      keras        MobileNetV2_224             -
    mobilenet_v2_130      keras        MobileNetV2_224             -
    mobilenet_v2_075      keras        MobileNetV2_160             -
    mobilenet_v2_050      keras        MobileNetV2_128             -
    mobilenet_v2_035      keras        MobileNetV2_96              -
    efficientnet_b0       keras        EfficientNetB0              -
    efficientnet_b1       keras        EfficientNetB1              -
    efficientnet_b2       keras        EfficientNetB2              -
    efficientnet_b3       keras        EfficientNetB3              -
    efficientnet_b4       keras        EfficientNetB4              -
    efficientnet_b5       keras        EfficientNetB5              -
    efficientnet_b6       keras        EfficientNetB6              -
    efficientnet_b7       keras        EfficientNetB7              -
    wide_resnet50_2       torchvision  wide_resnet50_2             -
    resnext50_32x4d       torchvision  resnext50_32x4d             -
    resnext101_32x8d      torchvision  resnext101_32x8d            -
    resnext101_64x4d      torchvision  resnext101_64x4d            -
    wide_resnet50_2       timm         wide_resnet50_2             -
    resnext101_32x4d      timm         resnext101_32x4d            -
    se_resnext50_32x4d    timm         seresnext50_32x4d           -
    se_resnext101_32x4d   timm         seresnext101_32x4d          -
    se_resnext50_32x4d    pytorchcv    seresnext50_32x4d           -
    wrn_16_10             pytorchcv    wrn16_10_cifar10            -
    wrn_28_10             pytorchcv    wrn28_10_cifar10            -
    wrn_40_8              pytorchcv    wrn40_8_cifar10             -
    resnext29_16x64d      pytorchcv    resnext29_16x64d_cifar10    -
    pyramidnet110_a48     pytorchcv    pyramidnet110_a48_cifar10   -
    pyramidnet110_a84     pytorchcv    pyramidnet110_a84_cifar10   -
    pyramidnet110_a270    pytorchcv    pyramidnet110_a270_cifar10  -
    pyramidnet164_a270_bn pytorchcv    pyramidnet164_a270_bn_cifar10 -
    pyramidnet200_a240_bn pytorchcv    pyramidnet200_a240_bn_cifar10 -
    pyramidnet236_a220_bn pytorchcv    pyramidnet236_a220_bn_cifar10 -
    pyramidnet272_a200_bn pytorchcv    pyramidnet272_a200_bn_cifar10 -
    fractalnet20          pytorchcv    fractalnet_cifar10          -
    zfnet                 pytorchcv    zfnet                       -
    inception_v4          timm         inception_v4                -
    inception_v4          pytorchcv    inceptionv4                 -
    inception_resnet_v2   timm         inception_resnet_v2         -
    inception_resnet_v2   pytorchcv    inceptionresnetv2           -
    inception_resnet_v1_facenet pytorchcv    inceptionresnetv1           -
    xception              timm         legacy_xception             -
    xception              pytorchcv    xception                    -
    shufflenet_g1         pytorchcv    shufflenet_g1_w1            -
    shufflenet_g2         pytorchcv    shufflenet_g2_w1            -
    shufflenet_g3         pytorchcv    shufflenet_g3_w1            -
    shufflenet_g4         pytorchcv    shufflenet_g4_w1            -
    shufflenet_g8         pytorchcv    shufflenet_g8_w1            -
    shufflenet_g3_050     pytorchcv    shufflenet_g3_wd2           -
    mnasnet_a1            timm         semnasnet_100               -
    mnasnet_a1_075        timm         semnasnet_075               -
    mnasnet_b1            timm         mnasnet_100                 -
    mnasnet_small         timm         mnasnet_small               -
    mnasnet_b1            torchvision  mnasnet1_0                  -
    mnasnet_a1            pytorchcv    mnasnet_a1                  -
    mnasnet_b1            pytorchcv    mnasnet_b1                  -
    mnasnet_small         pytorchcv    mnasnet_small               -
    senet154              timm         legacy_senet154             -
    nasnet_a_mobile       pytorchcv    nasnet_4a1056               -
    nasnet_a_large        timm         nasnetalarge                -
    nasnet_a_large        pytorchcv    nasnet_6a4032               -
    """,
)
CHANGES = {
    "-": "",
    "border": "ours includes the padding in average pooling, as theirs does and the authors' code does not",
    "same": "theirs made with TensorFlow's padding and epsilon 1e-3, as in the authors' code",
    "relu": "theirs made with TensorFlow's padding, epsilon 1e-3 and ReLU instead of ReLU6",
}
