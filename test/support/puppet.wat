;; A guest without a kernel: brings up the device in slot 0 and sends it one request at a time.
;;
;; 0x4000 kicks   0x4004 interrupts   0x4008 used chains   0x400c requests still to send
;; 0x5000 descriptor table   0x6000 driver area   0x7000 device area   queue of 4
;; 0x8000 request, 8 bytes   0x9000 reply, 8 bytes
(module
  (import "hypercall" "mmioRead" (func $mmioRead (param i32 i32) (result i32)))
  (import "hypercall" "mmioWrite" (func $mmioWrite (param i32 i32 i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "env" "memory" (memory 1 65536))
  (export "memory" (memory 0))

  (func $get (param $register i32) (result i32)
    (call $mmioRead (i32.add (i32.const 0x10000000) (local.get $register)) (i32.const 4)))
  (func $set (param $register i32) (param $value i32)
    (call $mmioWrite (i32.add (i32.const 0x10000000) (local.get $register)) (i32.const 4)
      (local.get $value)))
  (func $increment (param $address i32)
    (i32.store (local.get $address) (i32.add (i32.load (local.get $address)) (i32.const 1))))

  (func $initialize (export "_initialize"))

  ;; The driver's sequence of 3.1.1; ends with power-off 1 if the device is not as it should be.
  (func $boot (export "boot") (param $info i32)
    (if (i32.ne (call $get (i32.const 0x000)) (i32.const 0x74726976))
      (then (call $proc_exit (i32.const 1))))
    (call $set (i32.const 0x070) (i32.const 0))
    (call $set (i32.const 0x070) (i32.const 1))
    (call $set (i32.const 0x070) (i32.const 3))
    (call $set (i32.const 0x014) (i32.const 0))
    (call $set (i32.const 0x024) (i32.const 0))
    (call $set (i32.const 0x020) (call $get (i32.const 0x010)))
    (call $set (i32.const 0x014) (i32.const 1))
    (call $set (i32.const 0x024) (i32.const 1))
    (call $set (i32.const 0x020) (call $get (i32.const 0x010)))
    (call $set (i32.const 0x070) (i32.const 11))
    (if (i32.ne (call $get (i32.const 0x070)) (i32.const 11))
      (then (call $proc_exit (i32.const 1))))
    (call $set (i32.const 0x030) (i32.const 0))
    (call $set (i32.const 0x038) (i32.const 4))
    (call $set (i32.const 0x080) (i32.const 0x5000))
    (call $set (i32.const 0x090) (i32.const 0x6000))
    (call $set (i32.const 0x0a0) (i32.const 0x7000))
    (call $set (i32.const 0x044) (i32.const 1))
    (call $set (i32.const 0x070) (i32.const 15))
    (if (i32.ne (call $get (i32.const 0x070)) (i32.const 15))
      (then (call $proc_exit (i32.const 1))))
    ;; descriptor 0: request, then descriptor 1: reply
    (i64.store (i32.const 0x5000) (i64.const 0x8000))
    (i32.store (i32.const 0x5008) (i32.const 8))
    (i32.store (i32.const 0x500c) (i32.const 0x00010001))
    (i64.store (i32.const 0x5010) (i64.const 0x9000))
    (i32.store (i32.const 0x5018) (i32.const 8))
    (i32.store (i32.const 0x501c) (i32.const 2)))

  ;; Acknowledges first, then drains.
  (func $interrupt (export "interrupt") (param $irq i32)
    (call $increment (i32.const 0x4004))
    (call $set (i32.const 0x064) (call $get (i32.const 0x060)))
    (i32.store (i32.const 0x4008) (i32.load16_u (i32.const 0x7002)))
    (i32.store16 (i32.const 0x600c) (i32.load16_u (i32.const 0x7002)))) ;; used_event

  ;; Sends a request if none is on its way and some are left; powers off after the last reply.
  (func $run (export "run") (param $budget i32) (result i32)
    (if (i32.ne (i32.load16_u (i32.const 0x6002)) (i32.load (i32.const 0x4008)))
      (then (return (i32.const 0))))
    (if (i32.eqz (i32.load (i32.const 0x400c))) (then (call $proc_exit (i32.const 0))))
    (i32.store (i32.const 0x400c) (i32.sub (i32.load (i32.const 0x400c)) (i32.const 1)))
    (i64.store (i32.const 0x8000) (i64.extend_i32_u (i32.load16_u (i32.const 0x6002))))
    (i32.store16 (i32.const 0x6002) (i32.add (i32.load16_u (i32.const 0x6002)) (i32.const 1)))
    (call $increment (i32.const 0x4000))
    (call $set (i32.const 0x050) (i32.const 0))
    (i32.const 0))
)
