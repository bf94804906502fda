"""Predicts a folder of images with a Keras model, as Keras' own guides do it, and writes the results to /results."""

import csv
import json

import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay, classification_report

model = keras.models.load_model("model.keras")
with open("images/classes.json") as file:
    class_names = json.load(file)
data = keras.utils.image_dataset_from_directory(
    "images", class_names=class_names, color_mode="grayscale", image_size=(64, 64), batch_size=64, shuffle=False
)
labels = np.concatenate([batch_labels for _, batch_labels in data])
probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(model.predict(data, verbose=0)))
predictions = probabilities.argmax(axis=1)

with open("/results/predictions.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["file", "label", "prediction", "confidence", *class_names])
    for path, label, row in zip(data.file_paths, labels, probabilities, strict=True):
        rows.writerow([path, class_names[label], class_names[row.argmax()], row.max(), *row])
metrics = classification_report(labels, predictions, target_names=class_names, output_dict=True)
with open("/results/metrics.json", "w") as file:
    json.dump(metrics, file)
ConfusionMatrixDisplay.from_predictions(labels, predictions, display_labels=class_names, xticks_rotation=45)
plt.savefig("/results/confusion_matrix.png", dpi=120)
print(f"accuracy {metrics['accuracy']:.4f}, n = {len(labels)}")
