"""Published detectors, run on pictures with their own weights: MTCNN for faces, YOLOX for COCO's classes."""
