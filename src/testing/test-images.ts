import type { TestImage } from './test-engine.ts'

// Programs that are links to one busybox: much like Alpine.
const busyboxScript = String.raw`
  mkdir -p bin usr/bin tmp var/tmp etc root var/someone work
  cp "$(command -v busybox)" bin/busybox
  chroot . /bin/busybox --install -s /bin
  ln -s /bin/busybox usr/bin/env
  chown 1234 var/someone
  printf '%s\n' root:x:0:0:root:/root:/bin/sh someone:x:1234:1234::/var/someone:/bin/sh >etc/passwd
`

export const busyboxImage: TestImage = { script: busyboxScript }

/** Its user is not root, and what it says of entry point, directory and environment is its own. */
export const userImage: TestImage = {
  script: busyboxScript,
  changes: [
    'USER someone',
    'WORKDIR /work',
    'ENV OF_IMAGE=here',
    'ENV PATH=/usr/bin:/bin:/special',
    'ENTRYPOINT ["/bin/echo", "the entry point"]',
    'CMD ["the command"]',
  ],
}

/** One program, and no shell to start it. */
export const shelllessImage: TestImage = {
  script: 'mkdir -p tmp var/tmp etc; cp "$(command -v busybox)" cp',
}

const usualPrograms =
  'cat ls cp mv rm ln mkdir mknod mkfifo touch chmod env sleep head tr id pwd readlink timeout find seq yes setsid dd stat du'

/**
 * Programs of this machine, with their libraries: dash and the GNU tools, where it is a Debian.
 * `more` are others, by name or path.
 */
export function machineImage(shell: string, ...more: readonly string[]): TestImage {
  const script = String.raw`
    mkdir -p tmp var/tmp etc root usr/bin usr/sbin usr/lib usr/lib64
    for directory in bin sbin lib lib64; do ln -s usr/$directory $directory; done
    echo root:x:0:0:root:/root:/bin/sh >etc/passwd
    programs=$(which ${[shell, usualPrograms, ...more].join(' ')})
    cp -L $programs usr/bin
    libraries=$(ldd $programs | sed -n 's,^[^/]*\(/[^ ]*\) (.*,\1,p' | sort -u)
    cp -L --parents $libraries .
    ln -s ${shell} usr/bin/sh
  `
  return { script }
}

export const debianImage: TestImage = machineImage('dash', 'perl')

/** As on Fedora, whose sh is bash. */
export const bashImage: TestImage = machineImage('bash')
