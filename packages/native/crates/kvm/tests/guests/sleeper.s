# Sleeps 5 ms of its local timer, then switches itself off. Assembled: as -o o sleeper.s; objcopy -O binary o sleeper.bin
.intel_syntax noprefix
# gate of vector 0x40 at 0x31000+0x400
mov edi, 0x31400
lea rax, [rip+handler]
mov [rdi], ax
mov word ptr [rdi+2], 0x10
mov word ptr [rdi+4], 0x8e00
shr rax, 16
mov [rdi+6], ax
mov dword ptr [rdi+8], 0
mov dword ptr [rdi+12], 0
mov edi, 0x30000
mov word ptr [rdi], 0x0fff
mov dword ptr [rdi+2], 0x31000
mov dword ptr [rdi+6], 0
lidt [rdi]
mov edi, 0xfee00000
mov dword ptr [rdi+0xf0], 0x1ff
mov dword ptr [rdi+0x3e0], 0xb
mov dword ptr [rdi+0x320], 0x40
mov dword ptr [rdi+0x380], 5000000
sti
hlt
cli
mov dx, 0x604
mov ax, 0x2000
out dx, ax
1: jmp 1b
handler:
mov edi, 0xfee00000
mov dword ptr [rdi+0xb0], 0
iretq
