# A supervisor-mode payload: a stack, floating point on, main(), then the firmware's shutdown.
  .section .text.start, "ax"
  .globl _start
_start:
  la sp, stack_end
  li t0, 0x6000
  csrs sstatus, t0
  call main
  li a7, 0x53525354
  li a6, 0
  li a0, 0
  li a1, 0
  ecall
1:
  wfi
  j 1b

  .section .bss
  .balign 16
stack:
  .skip 65536
stack_end:
