/*
 * A guest that waits: for a timer every five milliseconds, and for bytes on its console. Echoes each byte, and mixes
 * it with the time at which it came into what it keeps, so that a byte that came at another moment is another guest.
 * A 'b' keeps it busy for ten milliseconds, a 'q' switches it off.
 *
 *   riscv64-linux-gnu-gcc -nostdlib -static -march=rv64imac_zicsr -mabi=lp64 -Wl,--build-id=none -Wl,-Ttext=0x80000000 \
 *     -o echo.elf echo.S && riscv64-linux-gnu-objcopy -O binary echo.elf echo.bin
 */
	.equ UART, 0x10000000
	.equ PLIC, 0x0c000000
	.equ CONTEXT, 0x0c201000
	.equ KEPT, 0x80010000
	.globl _start
_start:
	li	s0, UART
	li	s1, CONTEXT
	li	s2, KEPT
	/* the serial port: queues on, received bytes interrupt */
	li	t0, 7
	sb	t0, 2(s0)
	li	t0, 1
	sb	t0, 1(s0)
	li	t0, 0x0b
	sb	t0, 4(s0)
	/* its line: a priority, enabled for the supervisor */
	li	t1, PLIC
	li	t0, 1
	sw	t0, 40(t1)
	li	t1, PLIC + 0x2080
	li	t0, 1 << 10
	sw	t0, 0(t1)
	sw	zero, 0(s1)
	li	t0, 0x220
	csrw	sie, t0
	li	s3, 1			/* what is kept */
	li	s4, 0			/* ticks so far */
tick:
	rdtime	a0
	li	t0, 50000
	add	a0, a0, t0
	li	a7, 0x54494d45
	li	a6, 0
	ecall
	addi	s4, s4, 1
wait:
	wfi
received:
	lbu	t0, 5(s0)
	andi	t0, t0, 1
	beqz	t0, claim
	lbu	t2, 0(s0)
	rdtime	t3
	slli	t4, s3, 5
	sub	s3, t4, s3
	add	s3, s3, t2
	add	s3, s3, t3
	andi	t4, s3, 0xff
	slli	t4, t4, 3
	add	t4, t4, s2
	sd	s3, 0(t4)
	sd	s4, 2040(s2)
	sb	t2, 0(s0)
	li	t4, 'q'
	beq	t2, t4, off
	li	t4, 'b'
	bne	t2, t4, received
	li	t0, 5000000
1:	addi	t0, t0, -1
	bnez	t0, 1b
	j	received
claim:
	lw	t0, 4(s1)
	beqz	t0, timer
	sw	t0, 4(s1)
timer:
	csrr	t0, sip
	andi	t0, t0, 0x20
	bnez	t0, tick
	j	wait
off:
	li	a7, 0x53525354
	li	a6, 0
	li	a0, 0
	li	a1, 0
	ecall
