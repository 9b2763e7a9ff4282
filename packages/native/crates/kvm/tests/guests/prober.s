# Touches ports and addresses that nobody has, then switches itself off. Assembled: as sleeper.s is
.intel_syntax noprefix
# every port of every width, every page of addresses behind memory, registers here and there
xor edx, edx
1:
cmp dx, 0x64
je 2f
cmp dx, 0x604
je 2f
in al, dx
in ax, dx
in eax, dx
out dx, al
out dx, ax
out dx, eax
2:
add dx, 37
jnc 1b
mov edi, 0xd0000000
3:
mov al, [rdi]
mov ax, [rdi+1]
mov eax, [rdi+2]
mov rax, [rdi+0xffd]
mov [rdi], al
mov [rdi+3], rax
mov [rdi+0xffe], rax
add edi, 0x100000
cmp edi, 0xd0000000
jae 3b
mov dx, 0x3f8
mov esi, 0x20000
mov ecx, 100
rep outsb
mov edi, 0x40000
mov ecx, 100
rep insb
mov dx, 0x604
mov ax, 0x2000
out dx, ax
