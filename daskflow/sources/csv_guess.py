def dialect_of(f):
    return {}, []
