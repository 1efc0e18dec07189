<?php
// Run before every PHP script. The interpreter is php-cgi without the system calls behind php://stdin and its
// brothers, so these are served here: input from /dev/stdin, output through echo, errors through the log (stderr).
// What else php:// names (memory, temp, filter, input) goes to the interpreter's own wrapper.
final class MeshworkPhpStream
{
    /** @var resource|null */
    public $context;
    /** @var resource|null */
    private $inner = null;
    private string $name = '';
    private string $line = '';

    public function stream_open(string $path, string $mode, int $options, ?string &$opened): bool
    {
        $this->name = strtolower(substr($path, strlen('php://')));
        if (in_array($this->name, ['stdout', 'output', 'stderr'], true)) {
            return true;
        }
        if (in_array($this->name, ['stdin', 'input'], true)) {
            $this->inner = @fopen('/dev/stdin', 'rb') ?: null;
            return $this->inner !== null;
        }
        stream_wrapper_restore('php');
        try {
            $this->inner = fopen($path, $mode) ?: null;
        } finally {
            stream_wrapper_unregister('php');
            stream_wrapper_register('php', self::class);
        }
        return $this->inner !== null;
    }

    public function stream_write(string $data): int
    {
        if ($this->inner !== null) {
            return (int) fwrite($this->inner, $data);
        }
        if ($this->name !== 'stderr') {
            echo $data;
            return strlen($data);
        }
        $this->line .= $data;
        while (($end = strpos($this->line, "\n")) !== false) {
            error_log(substr($this->line, 0, $end), 4);
            $this->line = substr($this->line, $end + 1);
        }
        return strlen($data);
    }

    public function stream_close(): void
    {
        if ($this->line !== '') {
            error_log($this->line, 4);
        }
        if ($this->inner !== null) {
            fclose($this->inner);
        }
    }

    public function stream_read(int $count): string|false
    {
        return $this->inner !== null ? fread($this->inner, $count) : '';
    }

    public function stream_eof(): bool
    {
        return $this->inner === null || feof($this->inner);
    }

    public function stream_flush(): bool
    {
        return $this->inner === null || fflush($this->inner);
    }

    public function stream_seek(int $offset, int $whence): bool
    {
        return $this->inner !== null && fseek($this->inner, $offset, $whence) === 0;
    }

    public function stream_tell(): int
    {
        return $this->inner !== null ? (int) ftell($this->inner) : 0;
    }

    /** @return array<mixed> */
    public function stream_stat(): array
    {
        return $this->inner !== null ? (fstat($this->inner) ?: []) : [];
    }

    public function stream_set_option(int $option, int $first, ?int $second): bool
    {
        return false;
    }
}

stream_wrapper_unregister('php');
stream_wrapper_register('php', MeshworkPhpStream::class);
define('STDIN', fopen('php://stdin', 'rb'));
define('STDOUT', fopen('php://stdout', 'wb'));
define('STDERR', fopen('php://stderr', 'wb'));
