/*
 * The guest of the snapshots that are kept: asks the entropy device for eight bytes, reads the
 * clock, says both on the console, waits, and does so again for ever. Has devices in the middle of
 * something at every moment: a queue with a request, a serial port with its interrupt enabled, an
 * alarm that is armed.
 *
 *   riscv64-linux-gnu-gcc -nostdlib -static -march=rv64imac -mabi=lp64 -Wl,-Ttext=0x80000000 \
 *     -o guest.elf guest.S && riscv64-linux-gnu-objcopy -O binary guest.elf guest.bin
 */
	.equ UART, 0x10000000
	.equ RTC, 0x00101000
	.equ VIRTIO, 0x10001000
	.equ DESCRIPTORS, 0x80004000
	.equ AVAILABLE, 0x80005000
	.equ USED, 0x80006000
	.equ BUFFER, 0x80007000
	.globl _start
_start:
	li	sp, 0x80009000
	li	s0, UART
	li	s1, RTC
	li	s2, VIRTIO
	/* the serial port: divisor 1, eight bits, received bytes interrupt */
	li	t0, 0x83
	sb	t0, 3(s0)
	li	t0, 1
	sb	t0, 0(s0)
	sb	zero, 1(s0)
	li	t0, 3
	sb	t0, 3(s0)
	li	t0, 1
	sb	t0, 1(s0)
	li	t0, 0x0b
	sb	t0, 4(s0)
	/* the clock: an alarm at 2100-01-01 */
	li	t0, 0x38ee4c82
	sw	t0, 0x0c(s1)
	sw	zero, 0x08(s1)
	li	t0, 1
	sw	t0, 0x10(s1)
	/* the entropy device */
	li	t0, 3
	sw	t0, 0x070(s2)
	li	t0, 1
	sw	t0, 0x024(s2)
	sw	t0, 0x020(s2)
	li	t0, 11
	sw	t0, 0x070(s2)
	li	t0, 8
	sw	t0, 0x038(s2)
	li	t0, DESCRIPTORS
	sw	t0, 0x080(s2)
	li	t0, AVAILABLE
	sw	t0, 0x090(s2)
	li	t0, USED
	sw	t0, 0x0a0(s2)
	li	t0, 1
	sw	t0, 0x044(s2)
	li	t0, 15
	sw	t0, 0x070(s2)
	/* one descriptor: eight bytes that the device writes */
	li	t1, DESCRIPTORS
	li	t0, BUFFER
	sd	t0, 0(t1)
	li	t0, 8
	sw	t0, 8(t1)
	li	t0, 2
	sh	t0, 12(t1)
	li	s3, 0			/* requests so far */
again:
	addi	s3, s3, 1
	li	t1, AVAILABLE
	fence	rw, rw
	sh	s3, 2(t1)
	fence	rw, rw
	sw	zero, 0x050(s2)
	li	t0, 1
	sw	t0, 0x064(s2)
	li	t1, BUFFER
	ld	s4, 0(t1)
	lw	s5, 0(s1)		/* the clock's low word, then its high one */
	lw	s6, 4(s1)
	mv	a0, s4
	call	hexadecimal
	li	a0, ' '
	sb	a0, 0(s0)
	slli	s6, s6, 32
	slli	s5, s5, 32
	srli	s5, s5, 32
	or	a0, s5, s6
	call	hexadecimal
	li	a0, '\n'
	sb	a0, 0(s0)
	/* a page of its own for every round: deltas have something to say */
	slli	t0, s3, 12
	li	t1, 0x7f000
	and	t0, t0, t1
	li	t1, 0x80010000
	add	t0, t0, t1
	sd	s4, 0(t0)
	li	t0, 5000
1:	addi	t0, t0, -1
	bnez	t0, 1b
	j	again

hexadecimal:			/* says a0 in sixteen digits */
	li	t0, 60
1:	srl	t1, a0, t0
	andi	t1, t1, 15
	li	t2, 10
	blt	t1, t2, 2f
	addi	t1, t1, 'a' - '0' - 10
2:	addi	t1, t1, '0'
	sb	t1, 0(s0)
	addi	t0, t0, -4
	bgez	t0, 1b
	ret
