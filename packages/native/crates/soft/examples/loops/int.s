    li   s0, 0x123456789
    li   s1, 100000000
    li   s2, 0
    li   s3, 7
1:  slli t0, s0, 13
    xor  s0, s0, t0
    srli t0, s0, 7
    xor  s0, s0, t0
    slli t0, s0, 17
    xor  s0, s0, t0
    andi t1, s0, 255
    add  s2, s2, t1
    bltu t1, s3, 2f
    addiw s2, s2, 1
2:  mul  t2, s0, s3
    sltu t3, t2, s0
    add  s2, s2, t3
    addi s1, s1, -1
    bnez s1, 1b
    li a7, 0x53525354
    li a6, 0
    li a0, 0
    li a1, 0
    ecall
