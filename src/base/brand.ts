declare const brand: unique symbol

/** A `Value` that only the parser of `Name` can make, so that ids of different things do not mix. */
export type Brand<Value, Name extends string> = Value & { readonly [brand]: Name }
