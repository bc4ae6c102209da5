package workload

import (
	"fmt"
	"time"
)

// shop lists the services.
var shop = []service{
	{name: "frontend", language: "nodejs", scope: "@opentelemetry/instrumentation-http", replicas: 4},
	{name: "productcatalog", language: "go", scope: "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc", replicas: 3},
	{name: "cart", language: "dotnet", scope: "OpenTelemetry.Instrumentation.AspNetCore", replicas: 3},
	{name: "checkout", language: "go", scope: "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc", replicas: 3},
	{name: "payment", language: "nodejs", scope: "@opentelemetry/instrumentation-grpc", replicas: 2},
	{name: "shipping", language: "rust", scope: "opentelemetry-otlp", replicas: 2},
	{name: "quote", language: "php", scope: "io.opentelemetry.contrib.php.slim", replicas: 2},
	{name: "currency", language: "cpp", scope: "currency", replicas: 3},
	{name: "recommendation", language: "python", scope: "opentelemetry.instrumentation.grpc", replicas: 2},
	{name: "ad", language: "java", scope: "io.opentelemetry.grpc-1.6", replicas: 2},
	{name: "email", language: "ruby", scope: "OpenTelemetry::Instrumentation::Sinatra", replicas: 2},
	{name: "accounting", language: "go", scope: "accounting", replicas: 2},
}

const (
	users          = 10_000
	activeSessions = 4_000
	products       = 2_000
	failureRate    = 0.012 // of a call, by itself; half of the failures fail the caller too
)

var (
	currencies = []string{"EUR", "USD", "JPY", "GBP", "CHF", "SEK", "CAD"}
	agents     = []string{
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
		"ShopApp/4.2.1 (Android 14; Pixel 8)",
	}
)

// session is a visitor.
type session struct{ id, user, ip, agent, currency string }

func (g *generator) session() session {
	r := g.rng.Float64()
	return session{
		id:       g.uuid(),
		user:     fmt.Sprintf("user-%d", int(users*r*r)), // some come more often
		ip:       fmt.Sprintf("%d.%d.%d.%d", 20+g.rng.IntN(180), g.rng.IntN(256), g.rng.IntN(256), 1+g.rng.IntN(254)),
		agent:    agents[g.rng.IntN(len(agents))],
		currency: currencies[g.rng.IntN(len(currencies))],
	}
}

// pick returns an instance of a service.
func (g *generator) pick(name string) *instance {
	all := g.services[name].instances
	return all[g.rng.IntN(len(all))]
}

func (g *generator) product() string { return fmt.Sprintf("SKU-%06d", g.rng.IntN(products)*37) }

// visit generates one page view: the root span and what comes of it.
func (g *generator) visit(rare bool) {
	if i := g.rng.IntN(len(g.sessions)); g.rng.IntN(12) == 0 {
		g.sessions[i] = g.session()
	}
	v := &g.sessions[g.rng.IntN(len(g.sessions))]
	switch n := g.rng.IntN(100); {
	case n < 18:
		g.page(v, rare, "GET", "/", "/", g.home)
	case n < 54:
		p := g.product()
		g.page(v, rare, "GET", "/product/{id}", "/product/"+p, func(s *span, v *session) { g.viewProduct(s, v, p) })
	case n < 76:
		g.page(v, rare, "GET", "/cart", "/cart?currency="+v.currency, g.viewCart)
	case n < 88:
		p := g.product()
		g.page(v, rare, "POST", "/cart", "/cart", func(s *span, v *session) { g.addToCart(s, v, p) })
	default:
		g.page(v, rare, "POST", "/cart/checkout", "/cart/checkout", g.checkout)
	}
}

func (g *generator) page(v *session, rare bool, method, route, path string, work func(*span, *session)) {
	g.span(nil, g.pick("frontend"), server, method+" "+route, func(s *span) {
		s.str("http.method", method).str("http.route", route).str("http.url", "https://shop.example.com"+path)
		s.str("http.user_agent", v.agent).str("net.peer.ip", v.ip)
		s.str("session.id", v.id).str("user.id", v.user)
		if rare {
			s.str(rareKey, rareValue)
		}
		g.pass(400 * time.Microsecond)
		work(s, v)
		g.pass(700 * time.Microsecond)
		status := 200
		if s.failed {
			status = 500
		}
		s.int("http.status_code", status).int("http.response_content_length", 800+g.rng.IntN(60_000))
	})
}

func (g *generator) home(s *span, v *session) {
	g.parallel(3, func(i int) {
		switch i {
		case 0:
			g.listProducts(s)
		case 1:
			g.ads(s, "")
		case 2:
			g.getCart(s, v)
		}
	})
	for range 1 + g.rng.IntN(4) {
		g.convert(s, v)
	}
}

func (g *generator) viewProduct(s *span, v *session, product string) {
	g.getProduct(s, product)
	g.convert(s, v)
	g.parallel(3, func(i int) {
		switch i {
		case 0:
			g.recommend(s, v)
		case 1:
			g.ads(s, product)
		case 2:
			g.getCart(s, v)
		}
	})
}

func (g *generator) viewCart(s *span, v *session) {
	g.getCart(s, v)
	g.parallel(1+g.rng.IntN(4), func(int) {
		g.getProduct(s, g.product())
		g.convert(s, v)
	})
	g.quote(s, v)
	g.recommend(s, v)
}

func (g *generator) addToCart(s *span, v *session, product string) {
	g.getProduct(s, product)
	g.rpc(s, "cart", "CartService", "AddItem", func(s *span) {
		s.str("user.id", v.user).str("app.product.id", product).int("app.product.quantity", 1+g.rng.IntN(3))
		g.redis(s, "HGET", "cart:"+v.user)
		g.redis(s, "HMSET", "cart:"+v.user)
	})
	g.getCart(s, v)
}

func (g *generator) checkout(s *span, v *session) {
	order := g.uuid()
	g.rpc(s, "checkout", "CheckoutService", "PlaceOrder", func(s *span) {
		s.str("user.id", v.user).str("app.order.id", order).str("app.currency", v.currency)
		g.span(s, s.at, internal, "prepareOrderItemsAndShippingQuoteFromCart", func(s *span) {
			items := 1 + g.rng.IntN(4)
			s.str("user.id", v.user).str("app.currency", v.currency).int("app.cart.items.count", items).int("app.cart.attempt", 1)
			g.getCart(s, v)
			for range items {
				g.getProduct(s, g.product())
				g.convert(s, v)
			}
			g.quote(s, v)
		})
		s.event(g.now, "prepared")
		transaction := g.uuid()
		g.rpc(s, "payment", "PaymentService", "Charge", func(s *span) {
			s.str("app.order.id", order).str("app.payment.transaction.id", transaction).int("app.payment.amount", 500+g.rng.IntN(100_000))
			g.pass(18 * time.Millisecond)
			g.sql(s, "INSERT", "ledger", "INSERT INTO ledger (order_id, transaction_id, amount, currency) VALUES ($1, $2, $3, $4)")
		})
		s.event(g.now, "charged", "app.payment.transaction.id", transaction)
		tracking := g.uuid()
		g.rpc(s, "shipping", "ShippingService", "ShipOrder", func(s *span) {
			s.str("app.order.id", order).str("app.shipping.tracking.id", tracking)
			g.pass(time.Millisecond)
		})
		s.event(g.now, "shipped", "app.shipping.tracking.id", tracking)
		g.sql(s, "INSERT", "orders", "INSERT INTO orders (id, user_id, total, currency, tracking_id) VALUES ($1, $2, $3, $4, $5)")
		g.rpc(s, "cart", "CartService", "EmptyCart", func(s *span) {
			s.str("user.id", v.user)
			g.redis(s, "DEL", "cart:"+v.user)
		})
		g.rpc(s, "email", "EmailService", "SendOrderConfirmation", func(s *span) {
			s.str("app.order.id", order).str("app.email.template", "order-confirmation-"+v.currency)
			g.pass(4 * time.Millisecond)
		})
		g.rpc(s, "accounting", "AccountingService", "Book", func(s *span) {
			s.str("app.order.id", order)
			g.pass(800 * time.Microsecond)
		})
	})
}

func (g *generator) listProducts(s *span) {
	g.rpc(s, "productcatalog", "ProductCatalogService", "ListProducts", func(s *span) {
		n := 8 + g.rng.IntN(12)
		s.int("app.products.count", n)
		g.sql(s, "SELECT", "products", "SELECT id, name, description, picture, price FROM products WHERE category = $1 ORDER BY rank LIMIT $2")
	})
}

func (g *generator) getProduct(s *span, product string) {
	g.rpc(s, "productcatalog", "ProductCatalogService", "GetProduct", func(s *span) {
		s.str("app.product.id", product)
		g.sql(s, "SELECT", "products", "SELECT id, name, description, picture, price FROM products WHERE id = $1")
	})
}

func (g *generator) recommend(s *span, v *session) {
	g.rpc(s, "recommendation", "RecommendationService", "ListRecommendations", func(s *span) {
		s.str("user.id", v.user).int("app.products_recommended.count", 1+g.rng.IntN(5))
		g.pass(2 * time.Millisecond)
		g.listProducts(s)
	})
}

func (g *generator) ads(s *span, product string) {
	g.rpc(s, "ad", "AdService", "GetAds", func(s *span) {
		kind := "RANDOM"
		if product != "" {
			kind = "TARGETED"
			s.str("app.product.id", product)
		}
		s.str("app.ads.ad_request_type", kind).int("app.ads.count", 1+g.rng.IntN(3))
		g.pass(1500 * time.Microsecond)
	})
}

func (g *generator) getCart(s *span, v *session) {
	g.rpc(s, "cart", "CartService", "GetCart", func(s *span) {
		s.str("user.id", v.user).int("app.cart.items.count", g.rng.IntN(9))
		g.redis(s, "HGET", "cart:"+v.user)
	})
}

func (g *generator) convert(s *span, v *session) {
	g.rpc(s, "currency", "CurrencyService", "Convert", func(s *span) {
		s.str("app.currency.from", "USD").str("app.currency.to", v.currency)
		g.pass(60 * time.Microsecond)
	})
}

func (g *generator) quote(s *span, v *session) {
	g.rpc(s, "shipping", "ShippingService", "GetQuote", func(s *span) {
		s.str("app.shipping.zip_code", fmt.Sprintf("%05d", g.rng.IntN(100_000)))
		g.rpc(s, "quote", "QuoteService", "Calculate", func(s *span) {
			s.int("app.quote.items.count", 1+g.rng.IntN(6)).int("app.quote.cost.total", 200+g.rng.IntN(9000))
			g.pass(700 * time.Microsecond)
		})
	})
}

// rpc generates a call: the caller's client span, and in it the server's span, in which work is done.
func (g *generator) rpc(caller *span, to, service, method string, work func(*span)) {
	at := g.pick(to)
	name := "shop." + service + "/" + method
	port := 8000 + len(to)
	common := func(s *span) *span {
		return s.str("rpc.system", "grpc").str("rpc.service", "shop."+service).str("rpc.method", method)
	}
	failed := g.span(caller, caller.at, client, name, func(s *span) {
		common(s).str("net.peer.name", to+".shop-prod.svc").int("net.peer.port", port)
		g.pass(150 * time.Microsecond)
		s.failed = g.span(s, at, server, name, func(s *span) {
			common(s).str("net.peer.ip", caller.at.ip)
			g.pass(80 * time.Microsecond)
			work(s)
			g.pass(60 * time.Microsecond)
			g.mayFail(s)
			s.int("rpc.grpc.status_code", grpcStatus(s))
		})
		if s.failed {
			s.message = "rpc error: code = Internal desc = " + method + " failed"
		}
		g.pass(120 * time.Microsecond)
		s.int("rpc.grpc.status_code", grpcStatus(s))
	})
	g.propagate(caller, failed)
}

func grpcStatus(s *span) int {
	if s.failed {
		return 13
	}
	return 0
}

func (g *generator) redis(caller *span, command, key string) {
	failed := g.span(caller, caller.at, client, command, func(s *span) {
		s.str("db.system", "redis").str("db.statement", command+" "+key).int("db.redis.database_index", 0)
		s.str("net.peer.name", "redis-cart.shop-prod.svc").int("net.peer.port", 6379)
		g.pass(250 * time.Microsecond)
		g.mayFail(s)
	})
	g.propagate(caller, failed)
}

func (g *generator) sql(caller *span, operation, table, statement string) {
	failed := g.span(caller, caller.at, client, operation+" shop."+table, func(s *span) {
		s.str("db.system", "postgresql").str("db.name", "shop").str("db.user", caller.at.service.name)
		s.str("db.operation", operation).str("db.sql.table", table).str("db.statement", statement)
		s.str("net.peer.name", "postgres.shop-prod.svc")
		g.pass(1200 * time.Microsecond)
		g.mayFail(s)
	})
	g.propagate(caller, failed)
}

// mayFail makes a few spans fail by themselves, with the exception that an SDK would record.
func (g *generator) mayFail(s *span) {
	if s.failed || g.rng.Float64() >= failureRate {
		return
	}
	s.failed = true
	g.pass(40 * time.Millisecond) // a failure takes its time
	s.message = fmt.Sprintf("deadline exceeded after %d ms", (g.now-s.start)/1e6)
	s.event(g.now, "exception",
		"exception.type", "TimeoutError",
		"exception.message", s.message,
		"exception.stacktrace", fmt.Sprintf("TimeoutError: %s\n  at call (/app/%s/client:%d)\n  at handle (/app/%s/handler:%d)\n  at run (/app/runtime:88)",
			s.message, s.at.service.name, 10+g.rng.IntN(400), s.at.service.name, 10+g.rng.IntN(400)))
}

// propagate makes the caller fail with half of the calls that failed; the other half it can do without.
func (g *generator) propagate(caller *span, failed bool) {
	if failed && !caller.failed && g.rng.IntN(2) == 0 {
		caller.failed = true
		caller.message = "dependency failed"
	}
}
