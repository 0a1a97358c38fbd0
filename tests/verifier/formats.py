"""The formats of the ledger, in the notation of SPEC.md: what changes there changes here, line by line."""

from borsh import Formats

FORMATS = Formats("""
id = [u8; 32]
key = [u8; 32]
hash = [u8; 32]
signature = [u8; 64]
domain = operator: string | infrastructure: string | region: string
code = k: u8 | n: u8
draw = epoch: u64 | number: u32
receipt = account: key | object: id | extent: u32 | index: u8 | draw | columns: hash | code | column_len: u64
  | ask: u64 | until: u64

vote = kind: u8 | height: u64 | round: u32 | block: opt id
signed_vote = voter: key | vote | signature
block_proposal = height: u64 | round: u32 | valid_round: opt u32 | block: id
signed_proposal = proposer: key | block_proposal | signature
certificate = height: u64 | round: u32 | block: id | signatures: map key signature
validator_set = map key u64

tx = body | signature
body = account: key | nonce: u64 | valid_until: u64 | salt: u64 | fee: u64 | action
action = enum
  0 transfer   to: key | amount: u64
  1 register   node: key | addresses: vec string | domain | price: u64 | capacity: u64 | bond: u64
             | consent: signature
  2 commit     object: id | extent: u32 | extents: u32 | size: u64 | code | column_len: u64 | draw
             | slots: vec tx_slot | until: u64 | end: u64
  3 extend     commitment: commitment_key | end: u64 | most: u64
  4 release    object: id | extent: u32
  5 join       key | node: key | addresses: vec string | beacon_key: [u8; 96] | bond: u64 | domain
             | consent: signature | vote_consent: signature | beacon_proof: [u8; 48]
  6 bond       key | amount: u64
  7 leave      key
  8 drain      node: key
  9 withdraw   node: key
  10 evidence  evidence
  11 propose   change
  12 vote      proposal: u64 | yes: bool
  13 set_name  name: [u8; 32] | version: u64 | value: opt vec u8
  14 anchor    hash
  15 together  parts: vec action
  16 draw_as   permission: opt (account: key | signature)
  17 move      key | addresses: vec string
  18 repaired  commitment: commitment_key | rebuilder: key | draw: u64
             | slots: vec (index: u8 | provider: key | receipt: signature)
  19 restore   commitment: commitment_key | index: u8 | epoch: u64 | leaf: storage_leaf
  20 report_loss  commitment: commitment_key | index: u8
  21 mismatch  commitment: commitment_key | rebuilder: key | draw: u64 | columns: vec (index: u8 | column: id)
  22 inconsistent  commitment: commitment_key | leaf: u64 | leaves: vec (index: u8 | leaf: storage_leaf)
  23 set_renewal  object: id | extent: u32 | renewal: opt renewal
  24 maintain  node: key | start: u64 | epochs: u64
evidence = enum
  0 votes      first: signed_vote | second: signed_vote
  1 proposals  first: signed_proposal | second: signed_proposal
  2 header     vote: signed_vote | header | decided: header | proof: vec hash
tx_slot = provider: key | column: id | cap: u64 | receipt: opt signature
change = enum
  0 params            params
  1 admit_provider    node: key
  2 expel_provider    node: key
  3 admit_validator   key
  4 expel_validator   key
  5 upgrade           protocol: u32 | epoch: u64

header = height: u64 | round: u32 | parent: id | time_ms: u64 | txs: hash | charged: hash | proofs: hash
  | state: hash | history: hash
  | validators: hash | next_validators: hash | proposer: key | beacon: [u8; 48]

record = enum
  0 running         time_ms: u64 | clock | mix: hash | turns_seed: hash | history: peaks | minted: u64
                  | bonded: u64 | escrowed: u64 | pool: u64 | burnt: u64 | stored: u128 | fee_factor: u64
  1 params          params
  2 account         balance: u64 | nonce: u64 | since: u64 | owns: u64 | draws_as: opt draw_identity
  3 provider        owner: key | node: key | addresses: vec string | domain | price: u64 | capacity: u64
                  | used: u64 | bond: u64 | collateral: u64 | status: provider_status | offer: opt offer
                  | past: vec past_offer | frozen | open: u64 | missed: u32 | clean_since: u64
                  | silent_since: opt u64 | written_off: bool | maintenance: opt maintenance
                  | proven_bytes: u64
                  | rate: u64 | settled: u64 | proven_epochs: u64 | last_proof: u64 | recent: u64 | earned: u64
  4 validator       owner: key | key | node: key | addresses: vec string | beacon_key: [u8; 96] | domain
                  | bond: u64 | power: u64 | since: u64 | status: validator_status | missed: u32 | skipped_until: u64
  5 object          owners: map key owner
  6 commitment      key: commitment_key | size: u64 | extents: u32 | code | column_len: u64 | slots: vec slot
                  | start: u64 | end: u64 | until: u64 | escrow: u64 | fund: u64 | ticket: opt u64
  7 epoch           epoch: u64 | start_ms: u64 | first: u64 | beacon: opt hash | roster: root | providers: classes
                  | dimensions: [classes; 3] | space | audit
  8 mark
  9 name            value: vec u8 | version: u64 | deposit: u64
  10 charter        membership | protocol: u32 | upgrade: opt (protocol: u32 | epoch: u64) | proposals: u64
  11 proposal       number: u64 | proposer: key | change | deposit: u64 | until: u64 | votes: map key bool | outcome
  12 infrastructure tag: [u8; 16] | used: u128
  13 pulse          pulse: hash
  14 owner          extents: u32 | end: u64
  15 departed       slots: vec departed_slot
  16 doubts         doubts: vec (index: u8 | rebuilder: key | column: id)
  17 renewal        renewal
  18 fault          unproven: u64 | reasons: map u8 hash
  19 sweep          spare: u8 | key: commitment_key
draw_identity = account: key | since: u64
clock = epoch: u64 | start_ms: u64 | first: u64 | has_beacon: bool | window: u64
  | excused: u64
frozen = epoch: u64 | bytes: u64
audit = frozen: u128 | providers: u32 | proven: u128 | large: vec (tag: [u8; 16] | frozen: u128 | proven: u128)
departed_slot = provider: key | index: u8 | column: id | column_len: u64 | since: u64
peaks = leaves: u64 | peaks: vec hash
provider_status = enum
  0 active
  1 draining
  2 suspended
  3 exited  until: u64
validator_status = enum
  0 active
  1 condemned
  2 left     until: u64
  3 removed  until: u64
owner = extents: u32 | end: u64
commitment_key = object: id | extent: u32 | owner: key
renewal = epochs: u64 | most: u64
maintenance = start: u64 | end: u64
slot = provider: key | column: id | since: u64 | ask: u64 | cap: u64 | collateral: u64 | base: u64
  | state: u8
space = blocks: u64 | with_space: u64
root = hash | weight: u128
classes = map (providers: u8 | log2: u8) (groups: u64 | weight: u128)
offer = weight: u64 | price: u64 | operator: [u8; 16] | infrastructure: [u8; 16] | region: [u8; 16]
past_offer = until: u64 | offer: opt offer
outcome = enum
  0 open
  1 passed      height: u64
  2 superseded  height: u64

membership = enum
  0 permissionless
  1 single    operator: key
  2 majority
  3 hybrid    council: set key
params = time | draw_epochs: u64 | draws: u32 | min_domains: u8 | fees | term_epochs: u64
  | credit_bytes: u64 | bonds | governance | audits | repair
  | classes: vec code_class
fees = base: u64 | byte: u64
time = epoch_ms: u64 | window_blocks: u64 | beacon_blocks: u64 | block_ms: u64
  | trash_epochs: u64
bonds = provider: u64 | gib: u64 | pay_epochs: u64 | validator: u64 | proposal: u64 | name: u64 | account: u64
  | unbonding_epochs: u64 | slash_percent: u8
governance = proposal_epochs: u64 | max_power_share: u8 | max_stored_share: u8
audits = leaves: u8 | proven_leaves: u8 | few_providers: u32 | probation_epochs: u64 | suspend_after: u32
  | fee_percent: u8 | starter_bytes: u64 | ramp_epochs: u64 | maintenance_epochs: u64 | maintenance_every: u64
repair = suspect_epochs: u64 | turn_epochs: u64 | forfeit_epochs: u64 | lost_epochs: u64 | gib: u64
code_class = providers: u32 | standard: code | standard_repair: u8 | economy: code | economy_repair: u8
genesis = name: string | time_ms: u64 | membership | params | accounts: vec (account: key | balance: u64)
  | validators: vec genesis_validator | providers: vec genesis_provider
genesis_validator = owner: key | key | node: key | addresses: vec string | beacon_key: [u8; 96] | bond: u64 | domain
genesis_provider = owner: key | node: key | addresses: vec string | price: u64 | capacity: u64 | bond: opt u64
  | proven: opt u64 | domain

decided = header | txs: vec tx | charged: vec tx | proofs: map proof_key storage_proof | certificate
proof_key = provider: key | epoch: u64
proof_entry = key: proof_key | value: storage_proof
storage_proof = leaves: vec storage_leaf
storage_leaf = data: vec u8 | siblings: vec hash
held_place = object: id | extent: u32 | owner: key | index: u8 | since: u64
handover = header | certificate | set: validator_set
certified = header | certificate
columns = vec id
proven = key: vec u8 | value: opt vec u8 | proof: state_proof
state_proof = siblings: vec opt hash | other: opt (key: hash | value: hash)
records_answer = header | certificate | records: vec proven
chunk = records: vec (key: vec u8 | value: vec u8) | left: opt edge | right: edge
edge = depth: u16 | outside: vec opt hash

summary = roster: root | providers: classes | dimensions: [classes; 3]
leaf = provider: key | offer
seed = randomness: hash | account: key | draw | extent: u32
""")

encode, decode = FORMATS.encode, FORMATS.decode
