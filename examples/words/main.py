"""Statistics of one text: how many words, which are frequent, and how much its two halves have in common.

Reads the text on stdin, writes lines to stdout: numbers of words and of different words, the length of the longest
sequence of words that both halves have in the same order (of at most 800 words each), and the ten most frequent words.
"""

import re
import sys


def longest_common_subsequence(first, second):
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for column, other in enumerate(second, 1):
            above = row[column]
            if word == other:
                row[column] = diagonal + 1
            elif row[column - 1] > above:
                row[column] = row[column - 1]
            diagonal = above
    return row[-1]


def main():
    text = sys.stdin.buffer.read().decode("utf-8", "replace").lower()
    words = re.findall("[a-z]+", text)
    counts = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    print(f"{len(words)} words read", file=sys.stderr)
    half = len(words) // 2
    common = longest_common_subsequence(words[:half][:800], words[half:][:800])
    print(f"words {len(words)} different {len(counts)} common {common}")
    for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:10]:
        print(f"{word} {count}")


main()
