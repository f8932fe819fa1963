;; A guest that does what no compiler lets Rust do: it grows its table, and traps after it has returned.
;;
;; The first letter of what the configuration's only field says decides: {"do":"grow"} grows the table without end,
;; {"do":"refused"} grows it until that is refused and traps then, {"do":"after"} succeeds and traps in what is called after it
;; (`cabi_post_..`). Anything else succeeds.
(module
  (memory (export "memory") 4)
  (table $functions 1 funcref)
  (global $free (mut i32) (i32.const 65536))
  (global $trap_after (mut i32) (i32.const 0))

  ;; Nothing is ever given back: an instance lives for one call.
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $place i32)
    (local.set $place (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $place) (local.get 3)))
    (local.get $place))

  (func (export "aftercommit:action/plugin@1.0.0#describe") (result i32)
    (i32.const 16))

  ;; A result that is all zeros is a success without a value.
  (func (export "aftercommit:action/plugin@1.0.0#check") (param i32 i32) (result i32)
    (i32.const 1024))

  ;; The arguments are in memory: the event takes 76 bytes, the delivery 28, then comes the configuration's text.
  (func (export "aftercommit:action/plugin@1.0.0#run") (param $arguments i32) (result i32)
    (local $letter i32)
    (local.set $letter (i32.load8_u offset=7 (i32.load offset=104 (local.get $arguments))))
    (if (i32.eq (local.get $letter) (i32.const 103)) ;; g
      (then
        (loop $again
          (drop (table.grow $functions (ref.null func) (i32.const 1000)))
          (br $again))))
    (if (i32.eq (local.get $letter) (i32.const 114)) ;; r
      (then
        (loop $again
          (br_if $again (i32.ne (table.grow $functions (ref.null func) (i32.const 1000)) (i32.const -1))))
        (unreachable)))
    (if (i32.eq (local.get $letter) (i32.const 97)) ;; a
      (then (global.set $trap_after (i32.const 1))))
    (i32.const 1024))

  (func (export "cabi_post_aftercommit:action/plugin@1.0.0#run") (param i32)
    (if (global.get $trap_after) (then (unreachable))))

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
    "{\"type\":\"object\",\"properties\":{\"do\":{\"type\":\"string\"}},\"additionalProperties\":false}"))
