/* The longest Collatz sequence that starts in a range: reads "FIRST LAST" on stdin, writes "START LENGTH".
 * Built by build.sh; collatz.wasm beside it is what that gave. */
#include <stdio.h>

int main(void) {
  unsigned long long first = 0, last = 0, best = 0, longest = 0;
  if (scanf("%llu %llu", &first, &last) != 2 || first == 0 || last < first || last - first > 100000000ULL) {
    fprintf(stderr, "the input must be two numbers, FIRST and LAST\n");
    return 2;
  }
  for (unsigned long long start = first; start <= last; ++start) {
    unsigned long long value = start, length = 1;
    while (value != 1) {
      value = value % 2 == 0 ? value / 2 : 3 * value + 1;
      ++length;
    }
    if (length > longest) {
      longest = length;
      best = start;
    }
  }
  fprintf(stderr, "%llu starts tried\n", last - first + 1);
  printf("%llu %llu\n", best, longest);
  return 0;
}
