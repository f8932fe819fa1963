;; A guest that does what no compiler lets Rust do: it goes wrong in any export that a test names, also in those that the
;; interface's border calls by itself, and it grows its table.
;;
;; Where and how it goes wrong is written into the component's bytes, because an export may be called before there is a
;; configuration: a test writes two letters over the full stops of "fault in . by ." below.
;;
;;   in    s  the core module's start function          d c r b  `describe`, `check`, `run`, `run-batch`
;;         a  `cabi_realloc`, while `check` is called   D C R B  what is called after each of them (`cabi_post_..`)
;;         A  `cabi_realloc`, while `run` or `run-batch` is called
;;   by    t  a trap     l  an endless loop
;;         o u m v  (only `cabi_realloc`) a place outside of memory, one that is not aligned, the same place each time, or one
;;                  that overlaps the one before
;;
;; What the configuration's only field says is done by `run`, by its first letter: {"do":"grow"} grows the table without end,
;; {"do":"refused"} grows it until that is refused and traps then. Anything else succeeds.
(module
  (memory (export "memory") 4)
  (table $functions 1 funcref)
  (global $free (mut i32) (i32.const 65536))

  ;; Goes wrong if the fault is to be here.
  (func $pass (param $here i32)
    (if (i32.ne (i32.load8_u (i32.const 0x209)) (local.get $here)) (then (return)))
    (if (i32.eq (i32.load8_u (i32.const 0x20e)) (i32.const 0x74)) ;; t
      (then (unreachable)))
    (if (i32.eq (i32.load8_u (i32.const 0x20e)) (i32.const 0x6c)) ;; l
      (then (loop $again (br $again)))))

  (func $start (call $pass (i32.const 0x73))) ;; s
  (start $start)

  ;; Nothing is ever given back: an instance lives for one call. What `check` is given needs no alignment; what `run` and
  ;; `run-batch` are given begins with a record, which does.
  (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (local $here i32) (local $how i32) (local $place i32)
    (local.set $here (select (i32.const 0x61) (i32.const 0x41) (i32.eq (local.get $align) (i32.const 1)))) ;; a, A
    (call $pass (local.get $here))
    (local.set $place (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (if (i32.eq (i32.load8_u (i32.const 0x209)) (local.get $here))
      (then
        (local.set $how (i32.load8_u (i32.const 0x20e)))
        (if (i32.eq (local.get $how) (i32.const 0x6f)) (then (return (i32.const 0xfffffff0)))) ;; o
        (if (i32.eq (local.get $how) (i32.const 0x75)) (then (return (i32.const 65537)))) ;; u
        (if (i32.eq (local.get $how) (i32.const 0x6d)) (then (return (i32.const 65536)))) ;; m
        (if (i32.eq (local.get $how) (i32.const 0x76)) ;; v
          (then
            (global.set $free (i32.add (local.get $place) (i32.const 8)))
            (return (local.get $place))))))
    (global.set $free (i32.add (local.get $place) (local.get $size)))
    (local.get $place))

  (func (export "aftercommit:action/plugin@1.0.0#describe") (result i32)
    (call $pass (i32.const 0x64)) ;; d
    (i32.const 16))
  (func (export "cabi_post_aftercommit:action/plugin@1.0.0#describe") (param i32)
    (call $pass (i32.const 0x44))) ;; D

  ;; A result that is all zeros is a success without a value.
  (func (export "aftercommit:action/plugin@1.0.0#check") (param i32 i32) (result i32)
    (call $pass (i32.const 0x63)) ;; c
    (i32.const 1024))
  (func (export "cabi_post_aftercommit:action/plugin@1.0.0#check") (param i32)
    (call $pass (i32.const 0x43))) ;; C

  ;; The arguments are in memory: the event takes 76 bytes, the delivery 28, then comes the configuration's text.
  (func (export "aftercommit:action/plugin@1.0.0#run") (param $arguments i32) (result i32)
    (local $letter i32)
    (call $pass (i32.const 0x72)) ;; r
    ;; Where the fault is in `cabi_realloc`, the arguments are not what was handed over.
    (if (i32.eq (i32.load8_u (i32.const 0x209)) (i32.const 0x41)) (then (return (i32.const 1024))))
    (local.set $letter (i32.load8_u offset=7 (i32.load offset=104 (local.get $arguments))))
    (if (i32.eq (local.get $letter) (i32.const 0x67)) ;; g
      (then
        (loop $again
          (drop (table.grow $functions (ref.null func) (i32.const 1000)))
          (br $again))))
    (if (i32.eq (local.get $letter) (i32.const 0x72)) ;; r
      (then
        (loop $again
          (br_if $again (i32.ne (table.grow $functions (ref.null func) (i32.const 1000)) (i32.const -1))))
        (unreachable)))
    (i32.const 1024))
  (func (export "cabi_post_aftercommit:action/plugin@1.0.0#run") (param i32)
    (call $pass (i32.const 0x52))) ;; R

  ;; As many successes as there are items; each takes 48 bytes.
  (func (export "aftercommit:action/batch@1.0.0#run-batch") (param $items i32) (param $count i32) (result i32)
    (call $pass (i32.const 0x62)) ;; b
    (i32.store (i32.const 2048) (i32.const 4096))
    (i32.store (i32.const 2052) (local.get $count))
    (i32.const 2048))
  (func (export "cabi_post_aftercommit:action/batch@1.0.0#run-batch") (param i32)
    (call $pass (i32.const 0x42))) ;; B

  ;; The descriptor: place and length of each text, and an empty list of needs.
  (data (i32.const 16)
    "\00\01\00\00\07\00\00\00"  ;; name
    "\08\01\00\00\05\00\00\00"  ;; version
    "\10\01\00\00\1c\00\00\00"  ;; summary
    "\30\01\00\00\54\00\00\00"  ;; schema
    "\00\00\00\00\00\00\00\00") ;; needs
  (data (i32.const 0x100) "by-hand")
  (data (i32.const 0x108) "0.1.0")
  (data (i32.const 0x110) "Does what a compiler forbids")
  (data (i32.const 0x130)
    "{\"type\":\"object\",\"properties\":{\"do\":{\"type\":\"string\"}},\"additionalProperties\":false}")
  (data (i32.const 0x200) "fault in . by ."))
