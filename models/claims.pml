/* Claims: every second delivery is one that the log calls ambiguous, and who was deposed delivers no more.

   One message with one recipient. Process 0 opens a queue, owns it, and takes the message; the other processes adopt
   the queue when the rules let them. Its owner claims the recipient, sends the final dot, and settles. A client hangs
   up, an answer is lost, an owner yields, a process halts: at any moment, or never.

   Of the log there is what ownership.pml shows of it: a slot is won once, by whoever tries it first having read all
   slots before it, and whoever adopts finds what they add up to. A segment on its way lands at any later moment at
   which its slot is the next, or never, its sender halted or not; its sender hears of it at any later moment, or
   never.

   Time is only an order of events. A promise runs from the first attempt of its segment's put, and whoever watches
   times it from when the segment could be seen: so once anybody has seen a journal stand still, the promises of all
   its slots have run out, `over` of them. That holds if no promise outlasts a later one: an idle one may, but then
   nothing is claimed (J6: the promise is `lease_s` while a delivery is in flight or due).

   Which invariant is where:
     J1      answer(), find_client_gone()   delivery begins once the client was answered; one who is gone voids
     J6      has_right            asked in the step that sends the dot; ends with the promise of the last known segment
     J7      may_adopt            stillness after this very tail; or its last segment is `yielded`; or its owner is dead
     J8      learn(), take_up(), settle()   the claim is known before the dot; one found open is ambiguous
     J10     carry()              a message carried forward keeps its progress, and stands before its segment's records
     J9      give_up()            who is fenced stops

   Asserted, in every state:
     !acknowledged_is_lost         what was acknowledged was delivered, or is still to be delivered by the log
     !second_delivery_is_unknown   no dot follows one that may have been taken, unless `ambiguous` is in the log since
     !voided_is_delivered          what is voided in the log was not delivered and never is
     !deposed_owner_delivers       no dot is sent once another has adopted the queue

   The bounds are PROCESSES and SLOTS. Left out: ownership itself, and put_new in doubt (ownership.pml); several
   recipients; refusal by the destination, which is as if the dot had not been sent; `on_ambiguous = "hold"`, which only
   keeps from delivering; damage (J14); reports (J13).

   A macro takes one safeguard away, and an assertion fails:
     DOT_BEFORE_CLAIM  OPEN_CLAIM_IGNORED  OPEN_CLAIM_TAKEN_FOR_DELIVERED  NO_ANSWER_TAKEN_FOR_REFUSAL
     DELIVERED_BEFORE_ANSWERED  RIGHT_NOT_ASKED  RIGHT_WHILE_YIELDING  IDLE_PROMISE_WHILE_BUSY
     NO_STILLNESS  ANOTHER_SLOT_TIMED  YIELDED_FOR_EVER  MOVED_WITHOUT_CLAIM  MOVED_LAST
   WITNESS adds a process whose every line is reached, so that what is dangerous is known to happen. */

#ifndef PROCESSES
#define PROCESSES 3
#endif
#ifndef SLOTS
#define SLOTS 6
#endif

/* What a segment says. It may carry the message forward besides: `moved`, which stands before all else. */
#define NOTHING 0
#define ADOPTED 1
#define ACCEPTED 2
#define ACCEPTED_AND_CLAIMED 3
#define CLAIMED 4
#define DELIVERED 5
#define WITHDRAWN 6
#define AMBIGUOUS 7
#define VOIDED 8
#define YIELDED 9
#define TICK 10

/* What a log adds up to for the message. */
#define ABSENT 0
#define PENDING 1
#define FINISHED 2

typedef Sum {
    unsigned status : 2;
    bit is_claimed
}

/* The store: what the log adds up to, its last slot, who adopted it last, whether its last segment is `yielded`, and up
   to which slot all promises have run out. */
#define NOBODY 7
Sum log;
byte owner = NOBODY;
byte tail, over;
bit is_yielded;

/* The world: whether the message arrived, was acknowledged, voided, delivered; and whether a delivery is on nobody's
   record, so that another would be one that nobody knows of. */
bit has_arrived, acknowledged, voided, delivered, is_unsettled;

#define IDLE 0
#define ADOPTING 1
#define OWNER 2
#define GONE 3
#define HALTED 4

/* An attempt: none; one whose claim is known; one whose final dot was sent. */
#define NONE 0
#define READY 1
#define SENT 2

/* `known` is what a process knows the log to add up to; `putting` is what its segment says, on its way to `next`. */
typedef Process {
    unsigned role : 3;
    unsigned next : 4;
    unsigned putting : 4;
    bit is_moving;
    bit has_landed;
    bit must_void;
    bit has_begun;
    unsigned attempt : 2;
    Sum known
}
Process process[PROCESSES];
#define me process[_pid]

/* What must never be, and scratch, both no part of the state. */
hidden byte each;
hidden byte acknowledged_is_lost, second_delivery_is_unknown, voided_is_delivered, deposed_owner_delivers;

inline check() {
    acknowledged_is_lost = acknowledged && !delivered && log.status != PENDING;
    assert(!acknowledged_is_lost);
    voided_is_delivered = voided && delivered;
    assert(!voided_is_delivered)
}

inline add(sum, record) {
    if
    :: record == ACCEPTED -> sum.status = PENDING
    :: record == ACCEPTED_AND_CLAIMED -> sum.status = PENDING; sum.is_claimed = true
    :: record == CLAIMED -> sum.is_claimed = true
    :: record == WITHDRAWN || record == AMBIGUOUS -> sum.is_claimed = false
    :: record == DELIVERED || record == VOIDED -> sum.status = FINISHED; sum.is_claimed = false
    :: else -> skip
    fi
}

#ifdef MOVED_WITHOUT_CLAIM
#define carried_claim(who) false
#else
#define carried_claim(who) process[who].known.is_claimed
#endif

inline carry(sum, who) {
    if
    :: process[who].is_moving ->
        sum.is_claimed = carried_claim(who);
        sum.status = process[who].known.status
    :: else -> skip
    fi
}

/* What is carried forward was sealed before the records of its segment, and knows nothing of them. */
inline add_segment(sum, who) {
#ifdef MOVED_LAST
    add(sum, process[who].putting);
    carry(sum, who)
#else
    carry(sum, who);
    add(sum, process[who].putting)
#endif
}

inline end_put(who) {
    process[who].putting = NOTHING;
    process[who].is_moving = false;
    process[who].has_landed = false
}

inline forget(who) {
    end_put(who);
    process[who].next = 0;
    process[who].must_void = false;
    process[who].attempt = NONE;
    process[who].known.status = ABSENT;
    process[who].known.is_claimed = false
}

/* J7: what the journal has to be for somebody to adopt it. */
#ifdef NO_STILLNESS
#define stands_still true
#elif defined(ANOTHER_SLOT_TIMED)
#define stands_still (over >= tail)
#elif defined(IDLE_PROMISE_WHILE_BUSY)
#define stands_still (tail == idle_slot -> idle_is_over : over > tail)
byte idle_slot = NOBODY;
bit idle_is_over;
#else
#define stands_still (over > tail)
#endif

#define may_adopt (stands_still || is_yielded || process[owner].role == HALTED)

/* J6: the right to deliver. */
#ifdef RIGHT_NOT_ASKED
#define has_right true
#elif defined(RIGHT_WHILE_YIELDING)
#define has_right (over < me.next)
#elif defined(IDLE_PROMISE_WHILE_BUSY)
#define has_right (me.putting != YIELDED && (me.next - 1 == idle_slot -> !idle_is_over : over < me.next))
#else
#define has_right (me.putting != YIELDED && over < me.next)
#endif

/* Slot 0 has the `adopted` of process 0. */
inline open() {
    owner = _pid;
    me.role = OWNER;
    me.next = 1
}

inline adopt() {
    me.has_begun = true;
    me.role = ADOPTING;
    me.next = tail + 1;
    me.known.status = log.status;
    me.known.is_claimed = log.is_claimed;
    me.putting = ADOPTED
}

/* J1: the message is durable and ours; its client waits for the answer, or has hung up. */
inline answer() {
    acknowledged = true;
    if
    :: me.known.is_claimed -> me.attempt = READY
    :: else -> skip
    fi
}

inline find_client_gone() {
    me.must_void = true;
#ifdef DELIVERED_BEFORE_ANSWERED
    if
    :: me.known.is_claimed -> me.attempt = READY
    :: else -> skip
    fi
#endif
}

inline learn() {
    add_segment(me.known, _pid);
    me.next = me.next + 1;
    if
    :: me.putting == ADOPTED -> me.role = OWNER
    :: me.putting == CLAIMED && me.attempt == NONE -> me.attempt = READY
    :: me.putting == VOIDED -> me.must_void = false
    :: me.putting == YIELDED -> me.role = GONE; forget(_pid)
    :: else -> skip
    fi;
    end_put(_pid)
}

/* J9: another has the slot. */
inline give_up() {
    if
    :: me.role == OWNER ->
        me.role = GONE
    :: else -> me.role = IDLE
    fi;
    forget(_pid)
}

/* J8: a claim that is found open may have been followed by the dot. */
inline take_up() {
#ifdef OPEN_CLAIM_IGNORED
    me.attempt = READY
#elif defined(OPEN_CLAIM_TAKEN_FOR_DELIVERED)
    me.putting = DELIVERED
#else
    me.putting = AMBIGUOUS
#endif
}

#ifdef NO_ANSWER_TAKEN_FOR_REFUSAL
#define UNANSWERED WITHDRAWN
#else
#define UNANSWERED AMBIGUOUS
#endif

inline claim() {
#ifdef DOT_BEFORE_CLAIM
    me.attempt = READY;
#endif
    me.putting = CLAIMED
}

/* The worst that can come of the dot: that the message is taken. */
inline send_dot() {
    deposed_owner_delivers = owner != _pid;
    assert(!deposed_owner_delivers);
    second_delivery_is_unknown = is_unsettled;
    assert(!second_delivery_is_unknown);
    delivered = true;
    is_unsettled = true;
    me.attempt = SENT;
    check()
}

inline settle(record) {
    me.attempt = NONE;
    me.putting = record
}

/* What it sent may still land, while its slot is open. */
inline halt() {
    if
    :: me.putting == NOTHING || me.has_landed || tail >= me.next -> forget(_pid)
    :: else ->
        me.must_void = false;
        me.attempt = NONE
    fi;
    me.role = HALTED
}

#define has_mail(record) (record == ACCEPTED || record == ACCEPTED_AND_CLAIMED)
#define is_alive (me.role == OWNER || me.role == ADOPTING)
#define is_free (me.role == OWNER && me.putting == NOTHING && me.next < SLOTS)
#define is_known (is_alive && me.has_landed)
#define is_fenced (is_alive && me.putting != NOTHING && !me.has_landed && tail >= me.next)
#define is_due (me.known.status == PENDING && me.attempt == NONE && !me.must_void)
#define takes_mail (is_free && _pid == 0 && !has_arrived)
#define may_begin (me.role == IDLE && owner != NOBODY && (_pid < 2 || process[_pid - 1].has_begun) && tail + 1 < SLOTS)

active [PROCESSES] proctype switch_process() {
    do
    :: d_step { _pid == 0 && owner == NOBODY -> open() }
    :: d_step { may_begin && may_adopt -> adopt() }
    :: d_step { is_known && !has_mail(me.putting) -> learn() }
    :: d_step { is_known && has_mail(me.putting) -> learn(); answer(); check() }
    :: d_step { is_known && has_mail(me.putting) -> learn(); find_client_gone() }
    :: d_step { is_fenced -> give_up() }
    :: d_step { takes_mail -> has_arrived = true; me.putting = ACCEPTED }
    :: d_step { takes_mail -> has_arrived = true; me.putting = ACCEPTED_AND_CLAIMED }
    :: d_step { is_free && me.must_void -> me.putting = VOIDED }
    :: d_step { is_free && is_due && !me.known.is_claimed -> claim() }
    :: d_step { is_free && is_due && me.known.is_claimed -> take_up() }
    :: d_step { me.role == OWNER && me.attempt == READY && has_right -> send_dot() }
    :: d_step { is_free && me.attempt == READY -> settle(WITHDRAWN) }
    :: d_step { is_free && me.attempt == SENT -> settle(DELIVERED) }
    :: d_step { is_free && me.attempt == SENT -> settle(UNANSWERED) }
    :: d_step { is_free && me.attempt != NONE -> me.putting = TICK }
    :: d_step { is_free && me.known.status == PENDING && !me.is_moving -> me.is_moving = true }
    :: d_step { is_free -> me.putting = YIELDED }
    :: d_step { is_alive -> halt() }
    od
}

#ifdef YIELDED_FOR_EVER
#define stays_yielded is_yielded
#else
#define stays_yielded false
#endif

/* The halted of whom nothing can land any more are alike. */
inline land(who) {
    tail++;
    process[who].has_landed = true;
    add_segment(log, who);
    is_yielded = process[who].putting == YIELDED || stays_yielded;
    if
    :: process[who].putting == ADOPTED -> owner = who
    :: process[who].putting == AMBIGUOUS -> is_unsettled = false
    :: process[who].putting == VOIDED ->
        voided = true
#ifdef IDLE_PROMISE_WHILE_BUSY
    :: process[who].putting == TICK -> idle_slot = tail; idle_is_over = false
#endif
    :: else -> skip
    fi;
    each = 0;
    do
    :: each == PROCESSES -> break
    :: each < PROCESSES && process[each].role == HALTED && process[each].next <= tail -> forget(each); each++
    :: else -> each++
    od;
    check()
}

#define can_land(who) (process[who].putting != NOTHING && !process[who].has_landed && tail + 1 == process[who].next)

active proctype store() {
    do
    :: d_step { can_land(0) -> land(0) }
    :: d_step { can_land(1) -> land(1) }
#if PROCESSES > 2
    :: d_step { can_land(2) -> land(2) }
#endif
    :: d_step { over <= tail -> over++ }
#ifdef IDLE_PROMISE_WHILE_BUSY
    :: d_step { !idle_is_over -> idle_is_over = true }
#endif
    od
}

#ifdef WITNESS
#define is_deposed(who) (process[who].role == OWNER && process[who].putting != NOTHING && owner != who)

/* What is dangerous does happen: each of these lines is reached. */
active proctype witness() {
    do
    :: is_deposed(0) ->
        printf("An owner is deposed while it puts.\n")
    :: delivered && process[1].role == OWNER && process[1].attempt == READY && over < process[1].next ->
        printf("A second delivery is about to happen, a known one.\n")
    :: voided ->
        printf("A message is voided.\n")
    :: is_yielded && process[owner].role != HALTED && over <= tail && log.is_claimed ->
        printf("A queue may be adopted for it was yielded, while its promise runs and a claim is open.\n")
    :: owner != NOBODY && process[owner].role == HALTED && !is_yielded && over <= tail && log.is_claimed ->
        printf("A queue may be adopted for its owner is dead, while its promise runs and a claim is open.\n")
    :: process[0].role == HALTED && process[0].putting == ACCEPTED_AND_CLAIMED && can_land(0) ->
        printf("The message of an owner that halted comes to land.\n")
    od
}
#endif
