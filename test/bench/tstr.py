#!/usr/bin/env python3
"""Trained on synthetic rows, tested on real ones: the area under the curve of gradient boosting.

    tstr.py REAL.csv COLUMNS TARGET POSITIVE SYNTHETIC.csv...

COLUMNS is mark_csv's file of columns: numbers are taken as they are, texts as categories, the 100 most frequent of the
synthetic rows by themselves and all others as one. Positive is a row whose TARGET is POSITIVE. Prints an area a file.
Needs numpy, pandas and scikit-learn; reads exact data, for development only.
"""
import sys

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score


def main(real, columns, target, positive, *made):
    kind = {words[0]: words[1] for words in (line.split() for line in open(columns)) if words}
    names = [name for name in kind if name != target]
    texts = [name for name in kind if kind[name] == "text"]

    def read(path):
        rows = pd.read_csv(path, na_values=["?", ""], keep_default_na=False, dtype={name: str for name in texts})
        return rows[list(kind)]

    def features(rows, labels):
        return np.column_stack([
            rows[name].map(labels[name]).fillna(len(labels[name])).to_numpy(float) if name in labels
            else rows[name].to_numpy(float) for name in names])

    test = read(real)
    for path in made:
        train = read(path)
        labels = {name: {label: i for i, label in enumerate(train[name].value_counts().index[:100])}
                  for name in names if kind[name] == "text"}
        model = HistGradientBoostingClassifier(random_state=0, categorical_features=[name in labels for name in names])
        model.fit(features(train, labels), train[target] == positive)
        score = model.predict_proba(features(test, labels))[:, 1]
        print(f"{roc_auc_score(test[target] == positive, score):.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
