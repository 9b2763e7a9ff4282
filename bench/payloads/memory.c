/* Memory work: sequential sums and a random walk over 8 MiB. */
#ifndef ROUNDS
#define ROUNDS 12u
#endif
enum { words = 1 << 20 };
static unsigned long table[words];
volatile unsigned long result;
void main(void) {
  unsigned long sum = 0, at = 1;
  for (unsigned long i = 0; i < words; i++) table[i] = (i * 2654435761ul + 12345) & (words - 1);
  for (unsigned long round = 0; round < ROUNDS; round++) {
    for (unsigned long i = 0; i < words; i++) sum += table[i];
    for (unsigned long i = 0; i < words; i++) table[i] ^= sum & 1;
    for (unsigned long i = 0; i < words / 4; i++) {
      at = table[at];
      at = (at * 5 + 3) & (words - 1);
    }
  }
  result = sum + at;
}
