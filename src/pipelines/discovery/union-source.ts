import type { Datum } from '../datums.ts'
import { unionOrderKey } from '../datums/order-keys.ts'
import type { DatumSource } from './datum-source.ts'

/** The datums of each branch, one branch after the other. */
export class UnionSource implements DatumSource {
  readonly #branches: readonly DatumSource[]

  constructor(branches: readonly DatumSource[]) {
    this.#branches = branches
  }

  before(): AsyncIterable<Datum> {
    return this.#each((branch) => branch.before())
  }

  after(): AsyncIterable<Datum> {
    return this.#each((branch) => branch.after())
  }

  added(): AsyncIterable<Datum> {
    return this.#each((branch) => branch.added())
  }

  removed(): AsyncIterable<Datum> {
    return this.#each((branch) => branch.removed())
  }

  unchanged(): AsyncIterable<Datum> {
    return this.#each((branch) => branch.unchanged())
  }

  surviving(): AsyncIterable<Datum> {
    return this.#each((branch) => branch.surviving())
  }

  async *#each(stream: (branch: DatumSource) => AsyncIterable<Datum>): AsyncGenerator<Datum> {
    for (const [index, branch] of this.#branches.entries()) {
      for await (const datum of stream(branch)) {
        yield { orderKey: unionOrderKey(index, datum.orderKey), members: datum.members }
      }
    }
  }
}
