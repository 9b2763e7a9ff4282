/* Integer work: hashing, shifts, multiplications, divisions, unpredictable branches. */
#ifndef ROUNDS
#define ROUNDS 20000000u
#endif
volatile unsigned long result;
void main(void) {
  unsigned long x = 88172645463325252ul, count = 0;
  for (unsigned long i = 0; i < ROUNDS; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    if (x & 1) count += x % 7;
    else count ^= x * 31;
  }
  result = count;
}
