import { expect } from 'vitest'

/** What is in an output: path → text; empty for directories. */
export type Files = Readonly<Record<string, string>>

/** A failure with such a reason. */
export function saying(reason: RegExp): unknown {
  return expect.stringMatching(reason)
}

/** What an image brings that may change what comes of a misdeed: its shell, or its user. */
export type Aspect = 'shell' | 'user'

/** What user code does, and how its datum ends: `Files`, or `saying` why it failed. */
export type Misdeed = {
  readonly script: string
  readonly end: unknown
  /** None where only the executor and the host decide what comes of it. */
  readonly dependsOn?: readonly Aspect[]
}

export const misdeeds: Readonly<Record<string, Misdeed>> = {
  'fills its standard output': {
    script: 'yes | head -c 5000000; yes | head -c 5000000 >&2; exit 3',
    end: saying(/^user code ended with exit code 3$/),
  },
  'closes its streams': {
    script: 'exec <&- >&- 2>&-; echo text >"$PFS/out/f"',
    end: { '/f': 'text\n' },
    dependsOn: ['shell'],
  },
  'makes its streams non-blocking and leaves readers behind': {
    script: 'cat <&1 & cat <&2 & echo text >"$PFS/out/f"',
    end: { '/f': 'text\n' },
    dependsOn: ['shell'],
  },
  'writes a line without end': {
    script: 'head -c 3000000 /dev/zero; exit 3',
    end: saying(/^user code ended with exit code 3$/),
  },
  'ends itself by a signal': {
    script: 'kill -9 $$',
    end: saying(/^user code ended with exit code 137/),
    dependsOn: ['shell'],
  },
  'ends its process group': {
    script: 'kill -9 0',
    end: saying(/^user code ended with exit code 137/),
    dependsOn: ['shell'],
  },
  'links to a file of the host': {
    script: 'ln -s /etc/passwd "$PFS/out/l"',
    end: saying(/out\/l leads out of .* \(to \/etc\/passwd\); copy the file instead$/),
  },
  'links to the root of the host': {
    script: 'ln -s / "$PFS/out/l"',
    end: saying(/out\/l leads out of .* \(to \/\); copy the file instead$/),
  },
  'links above its files': {
    script: 'ln -s ../../../../../../../../../../../etc "$PFS/out/l"',
    end: saying(/out\/l leads out of /),
  },
  'links to the processes of the system': {
    script: 'ln -s /proc/1/environ "$PFS/out/l"',
    end: saying(/out\/l leads out of /),
  },
  'links to the directory that the link is in': {
    script: 'ln -s "$PFS/out" "$PFS/out/l"',
    end: saying(/leads back to .*out, which it is in$/),
  },
  'links in circles': {
    script: 'ln -s b "$PFS/out/a"; ln -s a "$PFS/out/b"',
    end: saying(/symbolic link .*out\/a leads in circles$/),
  },
  'leaves a named pipe': {
    script: 'mkfifo "$PFS/out/p"',
    end: saying(/out\/p is a special file \(a named pipe\)/),
  },
  'leaves a device': {
    script: 'mknod "$PFS/out/d" c 1 5 2>/dev/null || exit 3',
    end: saying(/out\/d is a special file \(a device\)|^user code ended with exit code 3$/),
    dependsOn: ['user'],
  },
  'leaves a file that nobody may read': {
    script: 'cd "$PFS/out"; mkdir d; echo text >d/f; chmod 0 d/f d; chmod 0 . || :',
    end: { '/d': '', '/d/f': 'text\n' },
    dependsOn: ['user'],
  },
  'gives away and locks what it leaves': {
    script: 'cd "$PFS/out"; echo text >f; chmod 4711 f; chown 12345:54321 f 2>/dev/null; :',
    end: { '/f': 'text\n' },
    dependsOn: ['user'],
  },
  'gives its output away': {
    script: 'echo text >"$PFS/out/f"; chown 12345:54321 "$PFS/out" "$HOME" 2>/dev/null; :',
    end: { '/f': 'text\n' },
    dependsOn: ['user'],
  },
  'uses every character in names': {
    script: `cd "$PFS/out"; echo 1 >'a
b'; echo 2 >"$(printf '\\t\\033[2J \\\\ "x" \\047 $y *')"; echo 3 >-rf; echo 4 >é; mkdir ' '`,
    end: {
      '/a\nb': '1\n',
      '/\t\u001b[2J \\ "x" \' $y *': '2\n',
      '/-rf': '3\n',
      '/é': '4\n',
      '/ ': '',
    },
    dependsOn: ['shell'],
  },
  'uses names that are no text': {
    script: `cd "$PFS/out"; : >"$(printf 'a\\377')"`,
    end: saying(/^a name in .*out is not UTF-8: "aÿ"$/),
    dependsOn: ['shell'],
  },
  'nests directories deeper than a path may be long': {
    script:
      'cd "$PFS/out"; n=0; name=$(printf %0200d 0); ' +
      'while [ $n -lt 30 ]; do mkdir $name && cd -P ./$name || exit 9; n=$((n+1)); done',
    end: saying(/^an output path (?:has more than 4096 bytes|is longer than this host can read): /),
  },
  'makes its output endless by a hole': {
    script: 'cd "$PFS/out"; echo text >f; dd if=/dev/null of=z bs=1M seek=15000000 2>/dev/null',
    end: saying(
      /^the output is too long to be stored: with .*out\/z its files are 14.31TiB long, holes in them included, and its bound is 64MiB$/,
    ),
  },
  'replaces its output by a file': {
    script: 'rmdir "$PFS/out" 2>/dev/null && : >"$PFS/out"; [ -f "$PFS/out" ] || exit 3',
    end: saying(/out is no directory any more$|^user code ended with exit code 3$/),
    dependsOn: ['user'],
  },
  'leaves files for the next datum': {
    script:
      'for d in "$HOME" "$PFS" "$PFS/in"; do [ ! -e "$d/left" ] || exit 4; ' +
      '{ echo left >"$d/left"; } 2>/dev/null; done; exit 3',
    end: saying(/^user code ended with exit code 3$/),
    dependsOn: ['user'],
  },
}
