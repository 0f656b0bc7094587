import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** Answers whoever connects to the socket `path`, which it makes. */
export async function listenAt(path: string): Promise<AsyncDisposable> {
  const server = createServer((socket) => socket.end('reached\n'))
  await once(server.listen(path), 'listening')
  return {
    async [Symbol.asyncDispose]() {
      server.close()
      await once(server, 'close')
    },
  }
}

const listener = `
  chroot($ARGV[1]) && chdir "/" or die $! if $ARGV[1] ne "";
  my $server;
  socket($server, PF_UNIX, SOCK_STREAM, 0) && bind($server, sockaddr_un(pack "H*", $ARGV[0])) &&
    listen($server, 5) or die $!;
  syswrite STDOUT, "listening\\n";
  while (accept(my $client, $server)) { syswrite $client, "reached\\n" }`

/**
 * The same by a process of its own: in `directory`, after `enter`, a command line that goes on with another one,
 * and with `root` as its `/`. The name of the socket is as it says, and in any bytes.
 */
export async function listenApart(
  name: string | Buffer,
  {
    directory = '/',
    enter = [],
    root = '',
  }: {
    readonly directory?: string
    readonly enter?: readonly string[]
    readonly root?: string
  },
): Promise<AsyncDisposable> {
  const perl = ['perl', '-MSocket', '-e', listener, Buffer.from(name).toString('hex'), root]
  const [program = '', ...rest] = [...enter, ...perl]
  const child = spawn(program, rest, { cwd: directory, stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit').then(() => {
    throw new Error(`${program} does not listen`)
  })
  ended.catch(() => {})
  await Promise.race([once(child.stdout, 'data'), ended])
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended.catch(() => {})
    },
  }
}
