/*
 * Asks the firmware to end the machine; how, the assembler is told:
 *   -DTYPE=0 shutdown, 1 cold reboot, 2 warm reboot   -DREASON=0 none, 1 system failure, others as they are
 */
	.globl _start
_start:
	la	sp, stack
	la	a0, greeting
	sd	a0, -8(sp)
	ld	s0, -8(sp)
1:	lbu	a0, 0(s0)
	beqz	a0, 2f
	li	a7, 1			/* legacy console putchar */
	ecall
	addi	s0, s0, 1
	j	1b
2:	li	a7, 0x53525354		/* system reset */
	li	a6, 0
	li	a0, TYPE
	li	a1, REASON
	ecall
3:	j	3b
	.section .rodata
greeting:
	.asciz	"payload runs\n"
	.bss
	.balign	16
	.space	4096
stack:
