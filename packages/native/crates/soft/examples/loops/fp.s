    li   t0, 0x2000
    csrs sstatus, t0
    li   t0, 3
    fcvt.d.l fa0, t0
    li   t0, 7
    fcvt.d.l fa1, t0
    fdiv.d fa2, fa0, fa1
    fmv.d fa3, fa2
    fcvt.d.l fa4, x0
    li   s1, 30000000
1:  fmadd.d fa4, fa2, fa3, fa4
    fmul.d  fa5, fa3, fa1
    fadd.d  fa6, fa5, fa2
    fsub.d  fa3, fa6, fa5
    fmul.d  fa4, fa4, fa2
    fadd.d  fa7, fa4, fa0
    flt.d   t1, fa7, fa1
    fsgnj.d fa5, fa7, fa4
    addi s1, s1, -1
    bnez s1, 1b
    li a7, 0x53525354
    li a6, 0
    li a0, 0
    li a1, 0
    ecall
