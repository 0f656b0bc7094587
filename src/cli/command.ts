import type { Clock } from '../base/clock.ts'
import type { Transport } from '../client/transport.ts'
import type { ActiveTransaction } from './active-transaction.ts'
import type { Flags } from './flags.ts'
import type { Input } from './input.ts'
import type { Output } from '../base/output.ts'

/** A flag that a command takes. */
export interface FlagSpec {
  readonly name: string
  readonly short?: string
  /** What stands for its value in help; without it, the flag is on or off. */
  readonly value?: string
  /** May be given several times, and each value may be a list with commas. */
  readonly repeats?: true
  /** The value is a whole number of 0 or more. */
  readonly isCount?: true
  /** The value when the flag is not given. */
  readonly default?: string
  readonly about: string
}

/** Saying what an upgrade would do, doing it, and going back. */
export type StoreUpgradeKind = 'look' | 'upgrade' | 'undo'

/** What can be done to the store of a server that does not run; yields lines for people. */
export type UpgradeStore = (wish: {
  /** The data directory, absolute. */
  readonly root: string
  readonly kind: StoreUpgradeKind
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly log: (line: string) => void
}) => AsyncIterable<string>

/** What a command is given to work with. */
export interface CommandContext {
  /** As many as the command says. */
  readonly args: readonly string[]
  readonly flags: Flags
  readonly input: Input
  readonly out: Output
  readonly err: Output
  readonly clock: Clock
  /** Its variables. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Where pachd is, as the person wrote it. */
  readonly address: string
  /** Connects with the first call. */
  readonly transport: Transport
  readonly activeTransaction: ActiveTransaction
  /** Yields lines for people. `root` is absolute. */
  readonly upgradeStore: (root: string, kind: StoreUpgradeKind) => AsyncIterable<string>
}

export type CommandRun = (context: CommandContext) => Promise<void>

/** A command as help, the reference and the parser see it. Its code is loaded when it runs. */
export interface CommandSpec {
  readonly name: string
  /** Such as `REPO COMMIT [PATH]`: what is in brackets comes together or not at all. */
  readonly arguments: string
  /** One line. */
  readonly about: string
  /** Paragraphs for its own help. */
  readonly details?: string
  readonly examples?: readonly string[]
  readonly flags: readonly FlagSpec[]
  /** Put before what the server says, as 1.5 does. */
  readonly errorPrefix?: string
  /** Shows the status code too, as 1.5 does for some commands, so that scripts match the same text. */
  readonly showsStatus?: true
  /**
   * While a transaction is active, the command is `part` of it and takes effect later, or changes
   * something `beside` it at once, and says so. Unset: it changes nothing.
   */
  readonly inTransaction?: InTransaction | ((flags: Flags) => InTransaction | undefined)
  readonly load: () => Promise<CommandRun>
}

export type InTransaction = 'part' | 'beside'

/** Commands that belong together. */
export interface CommandFamily {
  readonly title: string
  readonly commands: readonly CommandSpec[]
}
