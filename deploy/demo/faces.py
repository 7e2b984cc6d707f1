"""Finds and compares faces with the two networks of the set-up, to prove what the composed clips show.

This is a check of the demonstration's material, kept independent of the program it demonstrates.
"""

import pathlib

import numpy as np
import onnxruntime
from PIL import Image

PLACE = pathlib.Path(__file__).resolve().parents[2] / ".sekisho"
STRIDES = (8, 16, 32)
# The five points of the aligned 112x112 crop (InsightFace's ArcFace template).
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


def session(name):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(PLACE / "models" / name), options, providers=["CPUExecutionProvider"])


class Faces:
    """Both networks."""

    def __init__(self):
        self.yunet = session("face_detection_yunet_2023mar.onnx")
        self.sface = session("face_recognition_sface_2021dec.onnx")

    def find(self, picture, score_min=0.6, scale=1.0):
        """Faces in an RGB uint8 array, best first: dicts of score, box (x, y, w, h) and points [5, 2], in its pixels."""
        height, width = picture.shape[:2]
        if scale != 1.0:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
        scale_x, scale_y = width / picture.shape[1], height / picture.shape[0]
        padded = np.zeros((-(-picture.shape[0] // 32) * 32, -(-picture.shape[1] // 32) * 32, 3), np.float32)
        padded[: picture.shape[0], : picture.shape[1]] = picture[:, :, ::-1]
        outputs = [f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox", "kps")]
        answers = self.yunet.run(outputs, {"input": padded.transpose(2, 0, 1)[None]})
        found = []
        for index, stride in enumerate(STRIDES):
            cls, obj, box, points = (a[0] for a in answers[4 * index : 4 * index + 4])
            score = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
            for anchor in np.flatnonzero(score >= score_min):
                row, column = divmod(anchor, padded.shape[1] // stride)
                centre = (np.array([column, row]) + box[anchor, :2]) * stride
                size = np.exp(box[anchor, 2:]) * stride
                where = (points[anchor].reshape(5, 2) + [column, row]) * stride
                corner = centre - size / 2
                found.append(
                    {
                        "score": float(score[anchor]),
                        "box": (corner[0] * scale_x, corner[1] * scale_y, size[0] * scale_x, size[1] * scale_y),
                        "points": where * [scale_x, scale_y],
                    }
                )
        return without_overlap(sorted(found, key=lambda face: -face["score"]))

    def embed(self, crops):
        """Unit embeddings of aligned 112x112 RGB crops."""
        data = np.stack([crop.astype(np.float32).transpose(2, 0, 1) for crop in crops])
        raw = self.sface.run(None, {"data": data})[0]
        return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def without_overlap(faces, iou_max=0.3):
    kept = []
    for face in faces:
        if all(overlap(face["box"], other["box"]) <= iou_max for other in kept):
            kept.append(face)
    return kept


def overlap(a, b):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def inter_eye_px(face):
    return float(np.hypot(*(face["points"][1] - face["points"][0])))


def similarity(source, target):
    """The least-squares rotation, scale and shift that takes `source` to `target` points, as a 2x3 matrix."""
    source_mean, target_mean = source.mean(0), target.mean(0)
    s, t = source - source_mean, target - target_mean
    spread = (s * s).sum()
    a = (s * t).sum() / spread
    b = (s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum() / spread
    shift = target_mean - [a * source_mean[0] - b * source_mean[1], b * source_mean[0] + a * source_mean[1]]
    return np.array([[a, -b, shift[0]], [b, a, shift[1]]])


def aligned(picture, points):
    """The 112x112 crop; a picture larger than the crop is averaged down first, so that nothing aliases."""
    crop_from_picture = similarity(points, TEMPLATE)
    scale = float(np.hypot(crop_from_picture[0, 0], crop_from_picture[1, 0]))
    image = Image.fromarray(picture)
    if scale < 0.5:
        shrink = int(1 / scale)
        image = image.reduce(shrink)
        crop_from_picture = similarity((points + 0.5) / shrink - 0.5, TEMPLATE)
    inverse = np.linalg.inv(np.vstack([crop_from_picture, [0, 0, 1]]))[:2]
    # Pillow's transform counts from pixel corners, ours from pixel centres.
    inverse[:, 2] += 0.5 - inverse[:, 0] * 0.5 - inverse[:, 1] * 0.5
    crop = image.transform((112, 112), Image.Transform.AFFINE, inverse.ravel().tolist(), Image.Resampling.BICUBIC)
    return np.asarray(crop)
