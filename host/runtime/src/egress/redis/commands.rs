//! The commands that a guest may send: those that read and write data, and `PUBLISH`. All others are refused: what
//! changes the connection that others will use (`SELECT`, `MULTI`, `SUBSCRIBE`, ..), waits (`BLPOP`, `XREAD`, ..), stops
//! the server for others (`KEYS`), administers it or runs code on it (`CONFIG`, `FLUSHALL`, `EVAL`, ..), or reaches into
//! another database (`COPY`, `MOVE`).
//!
//! Source: the command reference, <https://redis.io/docs/latest/commands/>.

/// In order, so that it can be searched.
#[rustfmt::skip]
const ALLOWED: [&str; 156] = [
    "APPEND", "BITCOUNT", "BITFIELD", "BITFIELD_RO", "BITOP", "BITPOS", "DECR", "DECRBY", "DEL", "EXISTS", "EXPIRE",
    "EXPIREAT", "EXPIRETIME", "GEOADD", "GEODIST", "GEOHASH", "GEOPOS", "GEOSEARCH", "GEOSEARCHSTORE", "GET",
    "GETBIT", "GETDEL", "GETEX", "GETRANGE", "GETSET", "HDEL", "HEXISTS", "HEXPIRE", "HEXPIREAT", "HEXPIRETIME",
    "HGET", "HGETALL", "HGETDEL", "HGETEX", "HINCRBY", "HINCRBYFLOAT", "HKEYS", "HLEN", "HMGET", "HMSET",
    "HPERSIST", "HPEXPIRE", "HPEXPIREAT", "HPEXPIRETIME", "HPTTL", "HRANDFIELD", "HSCAN", "HSET", "HSETEX",
    "HSETNX", "HSTRLEN", "HTTL", "HVALS", "INCR", "INCRBY", "INCRBYFLOAT", "LCS", "LINDEX", "LINSERT", "LLEN",
    "LMOVE", "LMPOP", "LPOP", "LPOS", "LPUSH", "LPUSHX", "LRANGE", "LREM", "LSET", "LTRIM", "MGET", "MSET",
    "MSETNX", "PERSIST", "PEXPIRE", "PEXPIREAT", "PEXPIRETIME", "PFADD", "PFCOUNT", "PFMERGE", "PING", "PSETEX",
    "PTTL", "PUBLISH", "RENAME", "RENAMENX", "RPOP", "RPOPLPUSH", "RPUSH", "RPUSHX", "SADD", "SCAN", "SCARD",
    "SDIFF", "SDIFFSTORE", "SET", "SETBIT", "SETEX", "SETNX", "SETRANGE", "SINTER", "SINTERCARD", "SINTERSTORE",
    "SISMEMBER", "SMEMBERS", "SMISMEMBER", "SMOVE", "SPOP", "SPUBLISH", "SRANDMEMBER", "SREM", "SSCAN", "STRLEN",
    "SUNION", "SUNIONSTORE", "TOUCH", "TTL", "TYPE", "UNLINK", "XACK", "XADD", "XDEL", "XLEN", "XRANGE",
    "XREVRANGE", "XTRIM", "ZADD", "ZCARD", "ZCOUNT", "ZDIFF", "ZDIFFSTORE", "ZINCRBY", "ZINTER", "ZINTERCARD",
    "ZINTERSTORE", "ZLEXCOUNT", "ZMPOP", "ZMSCORE", "ZPOPMAX", "ZPOPMIN", "ZRANDMEMBER", "ZRANGE", "ZRANGEBYLEX",
    "ZRANGEBYSCORE", "ZRANGESTORE", "ZRANK", "ZREM", "ZREMRANGEBYLEX", "ZREMRANGEBYRANK", "ZREMRANGEBYSCORE",
    "ZREVRANGE", "ZREVRANK", "ZSCAN", "ZSCORE", "ZUNION", "ZUNIONSTORE",
];

/// Why a command is refused, if it is.
pub(super) fn refused(command: &str) -> Option<String> {
    let upper = command.to_ascii_uppercase();
    if ALLOWED.binary_search(&upper.as_str()).is_ok() {
        return None;
    }
    let shown: String = command.escape_debug().take(40).collect();
    Some(format!(
        "`{shown}` is not one of the commands that actions may send: those that read and write data, and PUBLISH"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(ALLOWED.is_sorted());
        assert!(ALLOWED.iter().all(|command| refused(command).is_none()));
    }

    #[test]
    fn data_may_be_read_and_written_in_any_case() {
        for command in ["get", "SET", "Unlink", "scan", "publish", "expire"] {
            assert_eq!(refused(command), None);
        }
    }

    #[test]
    fn what_changes_the_connection_waits_or_administers_is_refused() {
        #[rustfmt::skip]
        let commands = [
            "SELECT", "auth", "HELLO", "RESET", "QUIT", "CLIENT", "ASKING", "READONLY", "MULTI", "EXEC", "WATCH",
            "SUBSCRIBE", "psubscribe", "SSUBSCRIBE", "MONITOR", "SYNC", "PSYNC", "BLPOP", "BRPOP", "BLMOVE", "BLMPOP",
            "BZPOPMIN", "BZMPOP", "XREAD", "XREADGROUP", "WAIT", "WAITAOF", "KEYS", "SORT", "FLUSHALL", "FLUSHDB",
            "SWAPDB", "CONFIG", "SHUTDOWN", "DEBUG", "SCRIPT", "EVAL", "EVALSHA", "FCALL", "FUNCTION", "MODULE", "ACL",
            "CLUSTER", "REPLICAOF", "SLAVEOF", "FAILOVER", "SAVE", "BGSAVE", "MIGRATE", "RESTORE", "DUMP", "COPY", "MOVE",
            "OBJECT", "LATENCY", "SLOWLOG", "INFO", "COMMAND", "", "GET\r\nFLUSHALL", "GET ",
        ];
        for command in commands {
            assert!(refused(command).is_some(), "{command}");
        }
    }
}
