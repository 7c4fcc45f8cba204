#include "textflag.h"

// Constants of the multiplication of tweaks in GF(2^128): see double in portable.go.

// What a carry out of the upper and of the lower half adds to the halves.
DATA carries<>+0(SB)/8, $0x87
DATA carries<>+8(SB)/8, $1
GLOBL carries<>(SB), NOPTR|RODATA, $16

// Left shifts of four tweaks in a register, twice: x^0 .. x^3, x^4 .. x^7; and the right
// shifts that fetch their carries.
DATA left<>+0(SB)/8, $0
DATA left<>+8(SB)/8, $0
DATA left<>+16(SB)/8, $1
DATA left<>+24(SB)/8, $1
DATA left<>+32(SB)/8, $2
DATA left<>+40(SB)/8, $2
DATA left<>+48(SB)/8, $3
DATA left<>+56(SB)/8, $3
DATA left<>+64(SB)/8, $4
DATA left<>+72(SB)/8, $4
DATA left<>+80(SB)/8, $5
DATA left<>+88(SB)/8, $5
DATA left<>+96(SB)/8, $6
DATA left<>+104(SB)/8, $6
DATA left<>+112(SB)/8, $7
DATA left<>+120(SB)/8, $7
GLOBL left<>(SB), NOPTR|RODATA, $128

DATA right<>+0(SB)/8, $64
DATA right<>+8(SB)/8, $64
DATA right<>+16(SB)/8, $63
DATA right<>+24(SB)/8, $63
DATA right<>+32(SB)/8, $62
DATA right<>+40(SB)/8, $62
DATA right<>+48(SB)/8, $61
DATA right<>+56(SB)/8, $61
DATA right<>+64(SB)/8, $60
DATA right<>+72(SB)/8, $60
DATA right<>+80(SB)/8, $59
DATA right<>+88(SB)/8, $59
DATA right<>+96(SB)/8, $58
DATA right<>+104(SB)/8, $58
DATA right<>+112(SB)/8, $57
DATA right<>+120(SB)/8, $57
GLOBL right<>(SB), NOPTR|RODATA, $128

// --- key schedule -------------------------------------------------------------------

// MIX adds to the four words of k those before each, and the word that is spread in X1.
#define MIX(k) \
	MOVO   k, X3;   \
	PSLLDQ $4, X3;  \
	PXOR   X3, k;   \
	PSLLDQ $4, X3;  \
	PXOR   X3, k;   \
	PSLLDQ $4, X3;  \
	PXOR   X3, k;   \
	PXOR   X1, k

// EVEN makes the next round key from X0 and X2, with rcon.
#define EVEN(rcon, at) \
	AESKEYGENASSIST $rcon, X2, X1; \
	PSHUFD $0xff, X1, X1;          \
	MIX(X0);                       \
	MOVUPS X0, at(BX)

// ODD makes the one after it.
#define ODD(at) \
	AESKEYGENASSIST $0, X0, X1; \
	PSHUFD $0xaa, X1, X1;       \
	MIX(X2);                    \
	MOVUPS X2, at(BX)

// INVERSE puts the round key at from, turned for decryption, to at.
#define INVERSE(from, at) \
	MOVUPS from(BX), X0; \
	AESIMC X0, X0;       \
	MOVUPS X0, at(CX)

// func expandKey(key *[32]byte, enc, dec *schedule)
TEXT ·expandKey(SB), NOSPLIT, $0-24
	MOVQ   key+0(FP), AX
	MOVQ   enc+8(FP), BX
	MOVQ   dec+16(FP), CX
	MOVUPS 0(AX), X0
	MOVUPS 16(AX), X2
	MOVUPS X0, 0(BX)
	MOVUPS X2, 16(BX)
	EVEN(0x01, 32)
	ODD(48)
	EVEN(0x02, 64)
	ODD(80)
	EVEN(0x04, 96)
	ODD(112)
	EVEN(0x08, 128)
	ODD(144)
	EVEN(0x10, 160)
	ODD(176)
	EVEN(0x20, 192)
	ODD(208)
	EVEN(0x40, 224)

	MOVUPS X0, 0(CX)
	INVERSE(208, 16)
	INVERSE(192, 32)
	INVERSE(176, 48)
	INVERSE(160, 64)
	INVERSE(144, 80)
	INVERSE(128, 96)
	INVERSE(112, 112)
	INVERSE(96, 128)
	INVERSE(80, 144)
	INVERSE(64, 160)
	INVERSE(48, 176)
	INVERSE(32, 192)
	INVERSE(16, 208)
	MOVUPS 0(BX), X0
	MOVUPS X0, 224(CX)
	PXOR   X0, X0
	PXOR   X1, X1
	PXOR   X2, X2
	PXOR   X3, X3
	RET

// --- AES-NI -------------------------------------------------------------------------

// X0..X7 blocks, X8 round key, X9 carry, X10 tweak, X11 carries, X12 first round key.
// AX keys, BX tweak, DI dst, SI src, CX blocks left. The tweaks of 8 blocks lie on the
// stack between their two uses.

// DOUBLE multiplies the tweak in X10 by x.
#define DOUBLE \
	PSHUFD $0x13, X10, X9; \
	PSRAL  $31, X9;        \
	PAND   X11, X9;        \
	PADDQ  X10, X10;       \
	PXOR   X9, X10

// LOAD loads a block, masks it, and goes on to the next tweak.
#define LOAD(at, x) \
	MOVUPS at(SI), x;    \
	MOVUPS X10, at(SP);  \
	PXOR   X10, x;       \
	PXOR   X12, x;       \
	DOUBLE

// STORE masks a block and stores it.
#define STORE(at, x) \
	MOVUPS at(SP), X9; \
	PXOR   X9, x;      \
	MOVUPS x, at(DI)

// ROUND8 does one round on 8 blocks.
#define ROUND8(op, at) \
	MOVUPS at(AX), X8; \
	op X8, X0; \
	op X8, X1; \
	op X8, X2; \
	op X8, X3; \
	op X8, X4; \
	op X8, X5; \
	op X8, X6; \
	op X8, X7

// ROUND1 does one round on one block.
#define ROUND1(op, at) \
	MOVUPS at(AX), X8; \
	op X8, X0

#define ROUNDS(round, op, last) \
	round(op, 16);  \
	round(op, 32);  \
	round(op, 48);  \
	round(op, 64);  \
	round(op, 80);  \
	round(op, 96);  \
	round(op, 112); \
	round(op, 128); \
	round(op, 144); \
	round(op, 160); \
	round(op, 176); \
	round(op, 192); \
	round(op, 208); \
	round(last, 224)

#define AESNI(op, last) \
	MOVUPS carries<>(SB), X11;    \
	MOVUPS (BX), X10;             \
	MOVUPS (AX), X12;             \
	SUBQ   $8, CX;                \
	JLT    rest;                  \
eight:                            \
	LOAD(0, X0);                  \
	LOAD(16, X1);                 \
	LOAD(32, X2);                 \
	LOAD(48, X3);                 \
	LOAD(64, X4);                 \
	LOAD(80, X5);                 \
	LOAD(96, X6);                 \
	LOAD(112, X7);                \
	ROUNDS(ROUND8, op, last);     \
	STORE(0, X0);                 \
	STORE(16, X1);                \
	STORE(32, X2);                \
	STORE(48, X3);                \
	STORE(64, X4);                \
	STORE(80, X5);                \
	STORE(96, X6);                \
	STORE(112, X7);               \
	ADDQ   $128, SI;              \
	ADDQ   $128, DI;              \
	SUBQ   $8, CX;                \
	JGE    eight;                 \
rest:                             \
	ADDQ   $8, CX;                \
	JEQ    done;                  \
one:                              \
	LOAD(0, X0);                  \
	ROUNDS(ROUND1, op, last);     \
	STORE(0, X0);                 \
	ADDQ   $16, SI;               \
	ADDQ   $16, DI;               \
	SUBQ   $1, CX;                \
	JNE    one;                   \
done:                             \
	MOVUPS X10, (BX);             \
	PXOR   X8, X8;                \
	PXOR   X12, X12;              \
	RET

// func encryptAESNI(keys *schedule, tweak *[16]byte, dst, src *byte, n int)
TEXT ·encryptAESNI(SB), NOSPLIT, $128-40
	MOVQ keys+0(FP), AX
	MOVQ tweak+8(FP), BX
	MOVQ dst+16(FP), DI
	MOVQ src+24(FP), SI
	MOVQ n+32(FP), CX
	AESNI(AESENC, AESENCLAST)

// func decryptAESNI(keys *schedule, tweak *[16]byte, dst, src *byte, n int)
TEXT ·decryptAESNI(SB), NOSPLIT, $128-40
	MOVQ keys+0(FP), AX
	MOVQ tweak+8(FP), BX
	MOVQ dst+16(FP), DI
	MOVQ src+24(FP), SI
	MOVQ n+32(FP), CX
	AESNI(AESDEC, AESDECLAST)

// --- VAES, AVX-512 ------------------------------------------------------------------

// Z0..Z7 blocks, four each; Z8..Z15 their tweaks; Z16..Z30 round keys; Z31 the
// polynomial in every low half.

// SPREAD makes four tweaks t from the one in every lane of Z0: x^(left) times it.
#define SPREAD(at, t) \
	VMOVDQU64  left<>+at(SB), Z2;  \
	VMOVDQU64  right<>+at(SB), Z3; \
	VPSLLVQ    Z2, Z0, t;          \
	VPSRLVQ    Z3, Z0, Z3;         \
	VPCLMULQDQ $0x01, Z31, Z3, Z4; \
	VPSLLDQ    $8, Z3, Z3;         \
	VPXORQ     Z4, t, t;           \
	VPXORQ     Z3, t, t

// TIMES multiplies the tweaks in from by x^(8*bytes), bytes at most 7.
#define TIMES(bytes, from, to, tmp) \
	VPSRLDQ    $(16-bytes), from, tmp; \
	VPCLMULQDQ $0x00, Z31, tmp, tmp;   \
	VPSLLDQ    $bytes, from, to;       \
	VPXORQ     tmp, to, to

#define LOADZ(at, z, t) \
	VPXORQ Z16, t, z;     \
	VPXORQ at(SI), z, z

#define STOREZ(at, z, t) \
	VPXORQ    t, z, z;  \
	VMOVDQU64 z, at(DI)

#define ROUNDZ(op, k) \
	op k, Z0, Z0; \
	op k, Z1, Z1; \
	op k, Z2, Z2; \
	op k, Z3, Z3; \
	op k, Z4, Z4; \
	op k, Z5, Z5; \
	op k, Z6, Z6; \
	op k, Z7, Z7

#define VAES(op, last) \
	VBROADCASTI32X4 0(AX), Z16;   \
	VBROADCASTI32X4 16(AX), Z17;  \
	VBROADCASTI32X4 32(AX), Z18;  \
	VBROADCASTI32X4 48(AX), Z19;  \
	VBROADCASTI32X4 64(AX), Z20;  \
	VBROADCASTI32X4 80(AX), Z21;  \
	VBROADCASTI32X4 96(AX), Z22;  \
	VBROADCASTI32X4 112(AX), Z23; \
	VBROADCASTI32X4 128(AX), Z24; \
	VBROADCASTI32X4 144(AX), Z25; \
	VBROADCASTI32X4 160(AX), Z26; \
	VBROADCASTI32X4 176(AX), Z27; \
	VBROADCASTI32X4 192(AX), Z28; \
	VBROADCASTI32X4 208(AX), Z29; \
	VBROADCASTI32X4 224(AX), Z30; \
	VBROADCASTI32X4 carries<>(SB), Z31; \
	VBROADCASTI32X4 (BX), Z0; \
	SPREAD(0, Z8);            \
	SPREAD(64, Z9);           \
	TIMES(1, Z8, Z10, Z2);    \
	TIMES(1, Z9, Z11, Z3);    \
	TIMES(2, Z8, Z12, Z4);    \
	TIMES(2, Z9, Z13, Z5);    \
	TIMES(3, Z8, Z14, Z6);    \
	TIMES(3, Z9, Z15, Z7);    \
loop:                         \
	LOADZ(0, Z0, Z8);         \
	LOADZ(64, Z1, Z9);        \
	LOADZ(128, Z2, Z10);      \
	LOADZ(192, Z3, Z11);      \
	LOADZ(256, Z4, Z12);      \
	LOADZ(320, Z5, Z13);      \
	LOADZ(384, Z6, Z14);      \
	LOADZ(448, Z7, Z15);      \
	ROUNDZ(op, Z17);          \
	ROUNDZ(op, Z18);          \
	ROUNDZ(op, Z19);          \
	ROUNDZ(op, Z20);          \
	ROUNDZ(op, Z21);          \
	ROUNDZ(op, Z22);          \
	ROUNDZ(op, Z23);          \
	ROUNDZ(op, Z24);          \
	ROUNDZ(op, Z25);          \
	ROUNDZ(op, Z26);          \
	ROUNDZ(op, Z27);          \
	ROUNDZ(op, Z28);          \
	ROUNDZ(op, Z29);          \
	ROUNDZ(last, Z30);        \
	STOREZ(0, Z0, Z8);        \
	TIMES(4, Z8, Z8, Z0);     \
	STOREZ(64, Z1, Z9);       \
	TIMES(4, Z9, Z9, Z1);     \
	STOREZ(128, Z2, Z10);     \
	TIMES(4, Z10, Z10, Z2);   \
	STOREZ(192, Z3, Z11);     \
	TIMES(4, Z11, Z11, Z3);   \
	STOREZ(256, Z4, Z12);     \
	TIMES(4, Z12, Z12, Z4);   \
	STOREZ(320, Z5, Z13);     \
	TIMES(4, Z13, Z13, Z5);   \
	STOREZ(384, Z6, Z14);     \
	TIMES(4, Z14, Z14, Z6);   \
	STOREZ(448, Z7, Z15);     \
	TIMES(4, Z15, Z15, Z7);   \
	ADDQ $512, SI;            \
	ADDQ $512, DI;            \
	SUBQ $32, CX;             \
	JNE  loop;                \
	VMOVDQU64 X8, (BX);       \
	VPXORQ Z16, Z16, Z16;     \
	VPXORQ Z30, Z30, Z30;     \
	VZEROUPPER;               \
	RET

// func encryptVAES(keys *schedule, tweak *[16]byte, dst, src *byte, n int)
TEXT ·encryptVAES(SB), NOSPLIT, $0-40
	MOVQ keys+0(FP), AX
	MOVQ tweak+8(FP), BX
	MOVQ dst+16(FP), DI
	MOVQ src+24(FP), SI
	MOVQ n+32(FP), CX
	VAES(VAESENC, VAESENCLAST)

// func decryptVAES(keys *schedule, tweak *[16]byte, dst, src *byte, n int)
TEXT ·decryptVAES(SB), NOSPLIT, $0-40
	MOVQ keys+0(FP), AX
	MOVQ tweak+8(FP), BX
	MOVQ dst+16(FP), DI
	MOVQ src+24(FP), SI
	MOVQ n+32(FP), CX
	VAES(VAESDEC, VAESDECLAST)
