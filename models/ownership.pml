/* Ownership of a queue: whoever writes the next slot owns it.

   A queue is a row of slots in a store. Process 0 opens it and owns it; the other processes adopt it, or try to,
   whenever they like. The owner accepts messages, delivers and settles them, carries them forward, and closes the
   queue. No process waits for a promise to run out: what is shown here rests on no clock.

   A segment that was sent lands in its slot at any later moment at which the slot is empty, as often as it is empty, or
   never: a put is delayed, lost and repeated without bound, its sender halted or not. Its sender hears of it at any
   later moment, or never. A slot that is to be deleted is deleted at any later moment, as often as something is in it,
   or never, whoever owns the queue by then. No step has to be taken: a process halts anywhere.

   Which invariant is where:
     J1, J9  apply(), give_up()   what a segment says is so once it is known to have landed; who is fenced stops
     J2      is_known, is_fenced  a slot that is taken is ours only if it holds what we sent
     J3      land()               what was refused is never in the log
     J4      read(), look()       adopt by the slot after the tail that was read, and look once more
     J5      cut(), read()        `adopted` and `closed` are never deleted; nobody adopts past `closed`
     J10     replay(), cut()      replay begins at the floor that the tail names, and what lies below is deleted

   Asserted, in every state:
     !acknowledged_is_lost         what was acknowledged was delivered, or is found by whoever replays the log now
     !settled_is_delivered_again   the latest owner delivers nothing that a segment in the log has settled
     !refused_is_in_the_log        no message lands, or has landed, that was refused or went into the next generation
     !closed_is_not_the_end        nothing lands beyond `closed`

   The bounds are PROCESSES, SLOTS and MESSAGES. A segment is told from others by its writer and its slot, which stand
   for the nonce: a process never sends two segments to one slot, for each slot that it tries is higher than the last.
   Reading the log takes no time: had it taken long enough for the log to go on, the slot after the tail would have been
   taken, and the look would find what follows it. A put that is known to have failed is one that was never sent.

   Left out: promises, claims, `yielded` and `voided`, which are in claims.pml; damage (J14); several records in one
   segment (J13); a last look that takes time, for which a look has 30 s and a deletion waits for 60 (J4, J10).

   A macro takes one safeguard away, and an assertion fails:
     ANY_SLOT_IS_OURS  NO_SECOND_LOOK  ADOPTED_DELETED  CLOSED_DELETED  ADOPT_PAST_CLOSED  FLOOR_IGNORED  TWO_IN_FLIGHT
     REFUSED_IN_DOUBT  REQUEUED_IN_DOUBT
   WITNESS adds a process whose every line is reached, so that what is dangerous is known to happen.
   NEVER_CLOSED and NEVER_MOVED leave a kind of record out, so that larger bounds can be searched. */

#ifndef PROCESSES
#define PROCESSES 3
#endif
#ifndef SLOTS
#define SLOTS 5
#endif
#ifndef MESSAGES
#define MESSAGES 2
#endif

/* What a segment holds: one record, and the floor that its header names. */
#define NOTHING 0
#define ADOPTED 1
#define ACCEPTED 2
#define SETTLED 3
#define MOVED 4
#define TICK 5
#define CLOSED 6

typedef Segment {
    unsigned kind : 3;
    unsigned message : 2;
    unsigned floor : 3
}

/* The store: whose segment is in each slot (process + 1; 0: none), what was sent there, what is to be deleted. */
byte writer[SLOTS];
Segment sent[PROCESSES * SLOTS];
byte condemned;

#define sent_by(who, where) sent[(who) * SLOTS + (where)]
#define in_slot(where) sent_by(writer[where] - 1, where)
#define bit_of(number) (1 << (number))

#ifdef ADOPTED_DELETED
#define is_kept(segment) (segment.kind == CLOSED)
#elif defined(CLOSED_DELETED)
#define is_kept(segment) (segment.kind == ADOPTED)
#else
#define is_kept(segment) (segment.kind == ADOPTED || segment.kind == CLOSED)
#endif
#define brings_message(segment) (segment.kind == ACCEPTED || segment.kind == MOVED)

#define IDLE 0
#define ADOPTING 1
#define LOOKING 2
#define OWNER 3
#define GONE 4

/* `next` is the slot that a process writes; `has_landed` tells that what it sends there was there at some moment;
   `live` has a bit for each message that it knows to be accepted and not settled. Adopters are alike, and so they begin
   in order. */
typedef Process {
    unsigned role : 3;
    unsigned next : 3;
    unsigned live : 4;
    bit is_putting;
    bit has_landed;
    bit has_begun;
#ifdef TWO_IN_FLIGHT
    bit is_putting_second
#endif
}
Process process[PROCESSES];
#define me process[_pid]

/* The world: how many messages arrived, and a bit for each that was acknowledged, delivered, settled in the log. */
byte arrivals, acknowledged, delivered, settled, latest_owner;
#ifdef REFUSED_IN_DOUBT
byte refused;
#endif

/* What must never be, and scratch, both no part of the state. */
hidden byte acknowledged_is_lost, settled_is_delivered_again, refused_is_in_the_log, closed_is_not_the_end;
hidden byte tail, each, number, lowest, found;

inline find_tail() {
    tail = SLOTS - 1;
    do
    :: writer[tail] == 0 && tail > 0 -> tail--
    :: else -> break
    od
}

/* J10: what the log adds up to, from the floor that its tail names. */
inline replay() {
    find_tail();
#ifdef FLOOR_IGNORED
    each = 0;
#else
    each = in_slot(tail).floor;
#endif
    found = 0;
    do
    :: each > tail -> break
    :: else ->
        if
        :: writer[each] == 0 -> skip
        :: else ->
            if
            :: brings_message(in_slot(each)) -> found = found | bit_of(in_slot(each).message)
            :: in_slot(each).kind == SETTLED -> found = found & ~bit_of(in_slot(each).message)
            :: else -> skip
            fi
        fi;
        each++
    od
}

inline check_that_nothing_is_lost() {
    replay();
    acknowledged_is_lost = (acknowledged & ~delivered & ~found) != 0;
    assert(!acknowledged_is_lost)
}

/* The slot that the next segment names as floor: that of the oldest live message, or its own. */
inline find_floor() {
    lowest = me.next;
    number = 0;
    do
    :: number == MESSAGES -> break
    :: else ->
        if
        :: me.live & bit_of(number) ->
            each = me.next - 1;
            do
            :: each == 0 -> break
            :: else ->
                if
                :: writer[each] == 0 -> each--
                :: else ->
                    if
                    :: brings_message(in_slot(each)) && in_slot(each).message == number -> break
                    :: else -> each--
                    fi
                fi
            od;
            if
            :: each < lowest -> lowest = each
            :: else -> skip
            fi
        :: else -> skip
        fi;
        number++
    od
}

inline send(what, about, floor_) {
    sent_by(_pid, me.next).kind = what;
    sent_by(_pid, me.next).message = about;
    sent_by(_pid, me.next).floor = floor_;
    me.is_putting = true;
    me.has_landed = false
}

inline open() {
    me.role = OWNER;
    sent_by(_pid, 0).kind = ADOPTED;
    writer[0] = _pid + 1;
    me.next = 1
}

/* J9: it touches the queue no more. */
inline stop() {
    me.role = GONE;
    me.next = 0;
    me.live = 0;
    me.is_putting = false;
    me.has_landed = false
}

#ifdef ADOPT_PAST_CLOSED
#define is_over(segment) false
#else
#define is_over(segment) (segment.kind == CLOSED)
#endif

/* J4: what was read decides which slot is ours to try; J5: nobody goes past `closed`. */
inline read() {
    replay();
    me.has_begun = true;
    if
    :: tail + 1 < SLOTS && !is_over(in_slot(tail)) ->
        me.role = ADOPTING;
        me.next = tail + 1;
        me.live = found;
        send(ADOPTED, 0, in_slot(tail).floor)
    :: else -> stop()
    fi
}

inline own() {
    me.role = OWNER;
    me.next = me.next + 1;
    latest_owner = _pid
}

/* J4: a slot beyond ours means that ours had been deleted, and was open again. */
inline look() {
    find_tail();
    if
    :: tail > me.next ->
        me.role = IDLE;
        me.next = 0;
        me.live = 0
    :: else -> own()
    fi
}

/* J5, J10: what lies below a floor that is known to be in place is deleted, some time, but for what is kept. */
inline cut() {
    each = 0;
    do
    :: each > me.next -> break
    :: each == me.next && sent_by(_pid, me.next).kind != CLOSED -> break
    :: else ->
        if
        :: (each < sent_by(_pid, me.next).floor || each == me.next) && writer[each] != 0 ->
            if
            :: !is_kept(in_slot(each)) -> condemned = condemned | bit_of(each)
            :: else -> skip
            fi
        :: else -> skip
        fi;
        each++
    od
}

/* J1: the segment is known to be in its slot, and ours: what it says is so. */
inline apply() {
    me.is_putting = false;
    me.has_landed = false;
    cut();
    number = sent_by(_pid, me.next).message;
    if
    :: sent_by(_pid, me.next).kind == ACCEPTED ->
        acknowledged = acknowledged | bit_of(number);
        me.live = me.live | bit_of(number);
        me.next = me.next + 1
    :: sent_by(_pid, me.next).kind == SETTLED ->
        me.live = me.live & ~bit_of(number);
        me.next = me.next + 1
    :: sent_by(_pid, me.next).kind == CLOSED ->
        stop()
    :: else ->
        me.next = me.next + 1
    fi;
#ifdef TWO_IN_FLIGHT
    if
    :: me.is_putting_second ->
        me.is_putting_second = false;
        me.is_putting = true;
        me.has_landed = (writer[me.next] == _pid + 1)
    :: else -> skip
    fi;
#endif
    check_that_nothing_is_lost()
}

/* J2: the reply may come when the slot has been deleted since, or holds another's segment by now. */
#ifdef ANY_SLOT_IS_OURS
#define is_known (me.has_landed || writer[me.next] != 0)
#else
#define is_known me.has_landed
#endif
#define is_fenced (writer[me.next] != 0 && writer[me.next] != _pid + 1)

inline learn() {
    if
    :: me.role == OWNER -> apply()
    :: else ->
        me.is_putting = false;
        me.has_landed = false;
#ifdef NO_SECOND_LOOK
        own()
#else
        me.role = LOOKING
#endif
    fi
}

/* J3: a segment that is fenced may have been in its slot, and read there, before another's was: its message is left
   unanswered. (Where every call was answered, it was not: as if never sent, it may go into the next generation.) */
inline give_up() {
    if
    :: me.role == OWNER ->
#ifdef REQUEUED_IN_DOUBT
        refused_is_in_the_log = me.has_landed && sent_by(_pid, me.next).kind == ACCEPTED;
        assert(!refused_is_in_the_log);
#endif
        stop()
    :: else ->
        me.role = IDLE;
        me.next = 0;
        me.live = 0;
        me.is_putting = false;
        me.has_landed = false
    fi
}

/* Who halts between the delivery and its settlement leaves it to the next to deliver again: see claims.pml. */
inline deliver(message) {
    settled_is_delivered_again = (settled & bit_of(message)) && latest_owner == _pid;
    assert(!settled_is_delivered_again);
    delivered = delivered | bit_of(message);
    find_floor();
    send(SETTLED, message, lowest)
}

#define may_write (me.role == OWNER && !me.is_putting && me.next < SLOTS)
#define last_kind sent_by(_pid, me.next - 1).kind
#define wants_tick (last_kind != ACCEPTED && last_kind != TICK)
#define is_live(message) (me.live & bit_of(message))

active [PROCESSES] proctype switch_process() {
    do
    :: d_step { _pid == 0 && writer[0] == 0 -> open() }
    :: d_step { me.role == IDLE && writer[0] != 0 && (_pid < 2 || process[_pid - 1].has_begun) -> read() }
    :: d_step { me.is_putting && is_known -> learn() }
    :: d_step { me.is_putting && is_fenced -> give_up() }
    :: d_step { me.role == LOOKING -> look() }
    :: d_step { may_write && arrivals < MESSAGES -> find_floor(); send(ACCEPTED, arrivals, lowest); arrivals++ }
    :: d_step { may_write && is_live(0) -> deliver(0) }
#ifndef NEVER_MOVED
    :: d_step { may_write && is_live(0) -> find_floor(); send(MOVED, 0, lowest) }
#endif
#if MESSAGES > 1
    :: d_step { may_write && is_live(1) -> deliver(1) }
#ifndef NEVER_MOVED
    :: d_step { may_write && is_live(1) -> find_floor(); send(MOVED, 1, lowest) }
#endif
#endif
    :: d_step { may_write && wants_tick -> find_floor(); send(TICK, 0, lowest) }
#ifndef NEVER_CLOSED
    :: d_step { may_write && me.live == 0 -> send(CLOSED, 0, me.next) }
#endif
#ifdef TWO_IN_FLIGHT
    :: d_step {
        me.role == OWNER && me.is_putting && !me.is_putting_second && me.next + 1 < SLOTS && arrivals < MESSAGES ->
        me.is_putting_second = true;
        me.next = me.next + 1;
        sent_by(_pid, me.next).kind = ACCEPTED;
        sent_by(_pid, me.next).message = arrivals;
        sent_by(_pid, me.next).floor = sent_by(_pid, me.next - 1).floor;
        me.next = me.next - 1;
        arrivals++
      }
#endif
#ifdef REFUSED_IN_DOUBT
    :: d_step {
        me.role == OWNER && me.is_putting && sent_by(_pid, me.next).kind == ACCEPTED ->
        refused = refused | bit_of(sent_by(_pid, me.next).message);
        refused_is_in_the_log = me.has_landed;
        assert(!refused_is_in_the_log);
        stop()
      }
#endif
    od
}

/* A slot that is kept takes nothing else, ever: what was sent there makes no difference any more. */
inline forget_the_others(who) {
    number = 0;
    do
    :: number == PROCESSES -> break
    :: number == who -> number++
    :: else ->
        sent_by(number, here).kind = NOTHING;
        sent_by(number, here).message = 0;
        sent_by(number, here).floor = 0;
        number++
    od
}

inline land(who) {
    writer[here] = who + 1;
    if
    :: process[who].next == here && process[who].is_putting -> process[who].has_landed = true
    :: else -> skip
    fi;
    if
    :: is_kept(in_slot(here)) && !(condemned & bit_of(here)) -> forget_the_others(who)
    :: else -> skip
    fi;
    if
    :: in_slot(here).kind == SETTLED -> settled = settled | bit_of(in_slot(here).message)
    :: else -> skip
    fi;
    each = 0;
    do
    :: each == here -> break
    :: else ->
        if
        :: writer[each] == 0 -> skip
        :: else ->
            closed_is_not_the_end = in_slot(each).kind == CLOSED;
            assert(!closed_is_not_the_end)
        fi;
        each++
    od;
#ifdef REFUSED_IN_DOUBT
    refused_is_in_the_log = in_slot(here).kind == ACCEPTED && (refused & bit_of(in_slot(here).message));
    assert(!refused_is_in_the_log);
#endif
    check_that_nothing_is_lost()
}

#define can_land(who) (writer[here] == 0 && sent_by(who, here).kind != NOTHING)

active [SLOTS] proctype slot_in_the_store() {
    byte here = _pid - PROCESSES;
    do
    :: d_step { can_land(0) -> land(0) }
    :: d_step { can_land(1) -> land(1) }
#if PROCESSES > 2
    :: d_step { can_land(2) -> land(2) }
#endif
    :: d_step {
        writer[here] != 0 && (condemned & bit_of(here)) ->
        writer[here] = 0;
        check_that_nothing_is_lost()
      }
    od
}

#ifdef WITNESS
#define of_opener process[0]
#define of_adopter process[1]

/* What is dangerous does happen: each of these lines is reached. */
active proctype witness() {
    do
    :: of_adopter.role == OWNER ->
        printf("An adopter owns the queue.\n")
    :: of_opener.role == OWNER && of_opener.is_putting && writer[of_opener.next] == 2 ->
        printf("An owner is fenced.\n")
    :: of_opener.role == OWNER && of_opener.has_landed && writer[of_opener.next] == 0 ->
        printf("A reply comes when the slot has been deleted since.\n")
    :: settled && (condemned & bit_of(1)) && writer[1] == 0 && sent_by(0, 1).kind == ACCEPTED ->
        printf("A message that is delivered and settled comes to land once more.\n")
    :: of_adopter.role == LOOKING && (condemned & bit_of(of_adopter.next)) ->
        printf("An adopter's segment is in a slot that had been deleted.\n")
    :: writer[1] == 0 && (condemned & bit_of(1)) && writer[2] == 1 && sent_by(0, 2).kind == MOVED && of_opener.live ->
        printf("A message was carried forward, and its first place is deleted.\n")
    :: writer[1] == 0 && writer[3] == 1 && sent_by(0, 3).kind == CLOSED ->
        printf("A queue is closed, and what it held is deleted.\n")
    od
}
#endif
