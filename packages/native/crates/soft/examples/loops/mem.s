    auipc s0, 0x1000      # 16 MiB further on: 1 MiB of words
    li   s1, 800
    li   s5, 0x100000
1:  mv   t0, s0
    add  t1, s0, s5
2:  ld   t2, 0(t0)
    ld   t3, 8(t0)
    add  t2, t2, t3
    addi t2, t2, 1
    sd   t2, 8(t0)
    lw   t4, 20(t0)
    sb   t4, 3(t0)
    lbu  t5, 9(t0)
    sw   t5, 28(t0)
    addi t0, t0, 32
    bne  t0, t1, 2b
    addi s1, s1, -1
    bnez s1, 1b
    li a7, 0x53525354
    li a6, 0
    li a0, 0
    li a1, 0
    ecall
