"""Compares the answers of the served model with the scores of `modelward-trainer score` and prints both.

compare.py ANSWERS SCORES: the answer of /predict to an array of rows, and one line of JSON for each row.
Python parses a number as the nearest double. Two doubles are compared by their bits.
"""

import json
import struct
import sys


def bits(number):
    return struct.pack(">d", number).hex()


def main():
    answers = json.load(open(sys.argv[1]))
    scores = [json.loads(line) for line in open(sys.argv[2])]
    predictions = answers["predictions"]
    if len(predictions) != len(scores):
        sys.exit(f"error: {len(predictions)} answers and {len(scores)} scores")
    print(f"   {answers['model']}, version {answers['version']}")
    print("   row  class  probability (served)   probability (scored)   same bits")
    different = 0
    for row, (served, scored) in enumerate(zip(predictions, scores), start=1):
        same = served["class"] == scored["class"] and bits(served["probability"]) == bits(scored["probability"])
        different += not same
        print(
            f"   {row:>3}  {served['class']:>5}  {served['probability']!r:<21}  {scored['probability']!r:<21}"
            f"  {'yes' if same else 'NO'}"
        )
    if different:
        sys.exit(f"error: {different} of {len(scores)} predictions differ from `modelward-trainer score` of the same bundle")
    print(f"   all {len(scores)} predictions equal `modelward-trainer score` of the same bundle, bit for bit")


main()
