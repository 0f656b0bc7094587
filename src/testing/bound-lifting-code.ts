/** Of unshare, clone, setns, mount, fsopen and open_tree; the bit of those that x32 sets apart, if there are any. */
const callNumbers: Readonly<Partial<Record<string, readonly number[]>>> = {
  x64: [272, 56, 308, 165, 430, 428, 0x40000000],
  arm64: [97, 220, 268, 40, 430, 428, 0],
}

/**
 * A program for x86-64 that asks as one for i386 (`int 0x80`) for a user namespace, then, as what it is, for one of
 * mounts, which takes the rights of the first; it ends with the error's number.
 */
const programHex = [
  '7f454c4602010100000000000000000002003e00010000007800400000000000',
  '4000000000000000000000000000000000000000400038000100000000000000',
  '0100000005000000000000000000000000004000000000000000400000000000',
  '9b000000000000009b000000000000000010000000000000',
].join('')
const codeHex = 'b836010000bb00000010cd80b810010000bf000002000f05f7d889c7b83c0000000f05'

// The flags are of linux/sched.h (NEWUSER, NEWNS, NEWCGROUP), and of open_tree (OPEN_TREE_CLONE); 435 is clone3. What
// is done is printed. Whoever gets a hierarchy of control groups lifts all bounds in it.
const script = String.raw`
my ($unshare, $clone, $setns, $mount, $fsopen, $open_tree, $x32, $program) = @ARGV;
my ($user, $others) = (0x10000000, 0x20000 | 0x2000000);
$| = 1;

sub lift {
  my ($way) = @_;
  print "$way: namespaces of its own\n";
  for my $kind ("freezer", "memory", "pids", "cpu", "") {
    my ($place, $none, $type) = ("$ENV{HOME}/m", "none", $kind eq "" ? "cgroup2" : "cgroup");
    mkdir $place;
    syscall($mount, $none, $place, $type, 0, my $options = $kind) < 0 and next;
    print "$way: $type $kind\n";
    for my $path (split /\n/, qx(find $place -name pids.max)) {
      open(my $file, ">", $path) or next;
      print $file "max";
    }
  }
}

# As a process of its own: it changes what it is.
sub try {
  my ($way, $call) = @_;
  my $pid = fork;
  if ($pid == 0) {
    lift($way) if $call->() >= 0;
    exit;
  }
  waitpid($pid, 0);
}

for my $bit ($x32 ? (0, $x32) : 0) {
  try("unshare", sub { syscall($unshare | $bit, $user | $others) });
  try("unshare twice", sub { syscall($unshare | $bit, $user) < 0 ? -1 : syscall($unshare | $bit, $others) });
  try("unshare alone", sub { syscall($unshare | $bit, $others) });
  try("clone", sub { syscall($clone | $bit, $user | $others | 17, 0, 0, 0, 0) });
  try("setns", sub { open(my $own, "<", "/proc/self/ns/user"); syscall($setns | $bit, fileno($own), 0) });
}
try("clone3", sub { my $about = pack("Q8", $user | $others, 0, 0, 0, 17, 0, 0, 0); syscall(435, $about, 64) });
try("nothing", sub { my ($none, $at, $type) = ("none", $ENV{HOME}, "tmpfs"); syscall($mount, $none, $at, $type, 0, 0) });
for my $type ("cgroup", "cgroup2", "tmpfs") {
  my $name = $type;
  try("fsopen", sub { syscall($fsopen, $name, 0) });
}
try("open_tree", sub { my $root = "/"; syscall($open_tree, -100, $root, 1) });
if ($program ne "") {
  my $path = "$ENV{HOME}/program";
  open(my $file, ">", $path);
  print $file pack("H*", $program);
  close($file);
  chmod 0755, $path;
  system($path) == 0 and print "int 0x80: a namespace\n";
}
print "tried\n";
# Bounds are as they were if this many cannot be started.
for (1 .. 300) {
  my $pid = fork;
  defined $pid or exit 7;
  if ($pid == 0) { sleep 100; exit }
}
`

/** Code that tries to get at the control groups that bound it. Undefined where this machine's calls are not known. */
export function boundLifting(): string | undefined {
  const numbers = callNumbers[process.arch]
  if (numbers === undefined) return undefined
  const program = process.arch === 'x64' ? `${programHex}${codeHex}` : ''
  return `perl - ${numbers.join(' ')} '${program}' <<'END'\n${script}\nEND`
}
