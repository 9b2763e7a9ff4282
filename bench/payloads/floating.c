/* Floating-point work: a Mandelbrot set in double precision, fused and divided. */
#ifndef ROUNDS
#define ROUNDS 200u
#endif
volatile unsigned long result;
void main(void) {
  unsigned long inside = 0;
  double scale = 1.0;
  for (unsigned row = 0; row < ROUNDS; row++) {
    for (unsigned column = 0; column < 300; column++) {
      double cr = (double)column / 100.0 - 2.0, ci = (double)row / (ROUNDS / 2.0) - 1.0, zr = 0, zi = 0;
      unsigned n = 0;
      while (n < 100 && zr * zr + zi * zi < 4.0) {
        double t = zr * zr - zi * zi + cr;
        zi = 2.0 * zr * zi + ci;
        zr = t;
        n++;
      }
      inside += n == 100;
      scale = scale / (1.0 + cr * 0.001);
    }
  }
  result = inside + (scale > 0);
}
